"""`lungsev-train table`: every row of a table of results, trained, measured and reported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lungsev.train.commands.options import GradingOptions, command

if TYPE_CHECKING:
    from lungsev.train.tasks.table_settings import TableSettings

app = typer.Typer()


@dataclass(frozen=True, kw_only=True)
class TableOptions(GradingOptions):
    """Of `table`; `out` is the folder of the rows."""

    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="1, 1_corrected, 2: the paper's; public_1, public_2: public images, pafe_or_not: with and without the "
            "encoder; _small on two cores; or a file.",
        ),
    ]
    row: Annotated[list[str] | None, typer.Option("--row", help="Only this row; repeatable.")] = None
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            "--cxr-clip",
            help="What some rows start from: a run's folder, or a file as CXR-CLIP's ResNet50.",
        ),
    ] = None
    decide: Annotated[
        bool, typer.Option("--decide", help="Train nothing: apply the table's rule to the rows that are finished.")
    ] = False

    def overrides(self) -> dict[str, Any]:
        """As above; each row finds its own dataset."""
        return {key: value for key, value in super().overrides().items() if key != "data.root"}


@command(app, omit=("config", "resume", "fresh"))
def table(options: TableOptions) -> None:
    """Train every row of a table, each from its config, and report on them. Finished rows are kept.

    Example: lungsev-train table 1 --data brixia/ --lungs lung-masks/
    """
    from lungsev.config import parse_assignments
    from lungsev.train.console import print_json, say
    from lungsev.train.tasks.table_settings import default_out, lungs_document, read_table
    from lungsev.train.tasks.tables import TableRequest, run_table
    from lungsev.train.tasks.upstream import upstream_alignment
    from lungsev.train.threads import use_threads

    use_threads(options.threads)
    chosen = read_table(options.name)
    out = options.out or default_out(options.name, chosen)
    if options.decide:
        _decide(chosen, out, options)
        return
    left_out = [row.name for row in chosen.rows if row.needs_weights and options.weights is None]
    if left_out and not options.row:
        say(f"Left out: {', '.join(left_out)}, which needs its weights: --weights PATH")
    stages = {stage: lungs_document(chosen, stage) for stage in ("segment", "align")}
    overrides = {**parse_assignments(options.assign or []), **options.overrides()}
    cache, workers = overrides.get("data.cache"), overrides.get("data.workers")
    alignment = None
    if options.lungs is not None:
        alignment = upstream_alignment(options.lungs, stages, Path(cache) if cache else None, workers)
    request = TableRequest(
        data=options.data,
        out=out,
        alignment=alignment,
        overrides=overrides,
        weights=options.weights,
    )
    page = run_table(chosen, options.row or [], request)
    say(f"Done: {page}")
    if options.as_json:
        print_json({"out": str(out), "report": str(page)})


def _decide(chosen: TableSettings, out: Path, options: TableOptions) -> None:
    from lungsev.train.ablation.arms import decide_table
    from lungsev.train.console import print_json, say
    from lungsev.train.runs import write_json

    decisions = decide_table(chosen, out, options.seeds)
    for each in decisions:
        for line in each.lines():
            say(line)
    found = {"title": chosen.title, "decisions": [each.to_dict() for each in decisions]}
    write_json(out / "decision.json", found)
    say(f"Written: {out / 'decision.json'}")
    if options.as_json:
        print_json(found)
