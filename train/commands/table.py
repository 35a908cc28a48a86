"""`lungsev-train table`: every row of a table of results, trained, measured and reported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from lungsev.train.commands.options import GradingOptions, command

app = typer.Typer()


@dataclass(frozen=True, kw_only=True)
class TableOptions(GradingOptions):
    """Of `table`; `out` is the folder of the rows."""

    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="1, 1_corrected, 2: the paper's; public_1, public_2: public images, _small on two cores; or a file.",
        ),
    ]
    row: Annotated[list[str] | None, typer.Option("--row", help="Only this row; repeatable.")] = None
    cxr_clip: Annotated[
        Path | None, typer.Option("--cxr-clip", help="Weights of CXR-CLIP's ResNet50; without, no such row.")
    ] = None

    def overrides(self) -> dict[str, Any]:
        """As above; each row finds its own dataset."""
        return {key: value for key, value in super().overrides().items() if key != "data.root"}


@command(app, omit=("config", "resume", "fresh", "as_json"))
def table(options: TableOptions) -> None:
    """Train every row of a table, each from its config, and report on them. Finished rows are kept.

    Example: lungsev-train table 1 --data brixia/ --lungs lung-masks/
    """
    from lungsev.config import parse_assignments
    from lungsev.train.console import say
    from lungsev.train.tasks.table_settings import default_out, lungs_document, read_table
    from lungsev.train.tasks.tables import TableRequest, run_table
    from lungsev.train.tasks.upstream import upstream_alignment
    from lungsev.train.threads import use_threads

    use_threads(options.threads)
    chosen = read_table(options.name)
    left_out = [row.name for row in chosen.rows if row.needs_weights and options.cxr_clip is None]
    if left_out and not options.row:
        say(f"Left out: {', '.join(left_out)}, which needs its weights: --cxr-clip FILE")
    stages = {stage: lungs_document(chosen, stage) for stage in ("segment", "align")}
    request = TableRequest(
        data=options.data,
        out=options.out or default_out(options.name, chosen),
        alignment=upstream_alignment(options.lungs, stages) if options.lungs is not None else None,
        overrides={**parse_assignments(options.assign or []), **options.overrides()},
        weights=options.cxr_clip,
    )
    say(f"Done: {run_table(chosen, options.row or [], request)}")
