"""`lungsev-train sweep`: the command."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lungsev.train.commands.options import CustomOptions, command

if TYPE_CHECKING:
    from lungsev.train.tasks.severity import SeverityRunSettings

app = typer.Typer()


@dataclass(frozen=True, kw_only=True)
class SweepOptions(CustomOptions):
    """Of `sweep`."""

    trials: Annotated[int | None, typer.Option("--trials", min=1, help="Trials; default sweep.trials.")] = None


@command(app, omit=("resume",))
def sweep(options: SweepOptions) -> None:
    """Train a config again and again with other values of the keys that its `sweep:` section names; keep the best.

    Example: lungsev-train sweep --config mine.yaml --data brixia/ --lungs lung-masks/ --trials 30
    """
    from lungsev.config import load_model, parse_assignments
    from lungsev.errors import ConfigError
    from lungsev.train.configs import built_in_or_path, read_config
    from lungsev.train.console import print_json, say
    from lungsev.train.runs import open_run
    from lungsev.train.sweep.run import check_sweep, run_sweep
    from lungsev.train.sweep.settings import SweepRunSettings, SweepSection
    from lungsev.train.tasks.severity import SeverityRunSettings, resolve
    from lungsev.train.tasks.upstream import upstream_alignment
    from lungsev.train.threads import use_threads

    use_threads(options.threads)
    path = built_in_or_path(options.config) if options.config is not None else None
    document = read_config(path) if path is not None else {}
    if "sweep" not in document:
        raise ConfigError(
            f"{path or 'without --config'}: found no `sweep:` section, expected one with the keys to vary"
        )
    section = {"sweep": document.pop("sweep")}
    trials = {"sweep.trials": options.trials}
    chosen = load_model(SweepSection, path, trials, lambda _: deepcopy(section)).sweep
    given = {**parse_assignments(options.assign or []), **options.overrides()}

    def settings_of(values: dict[str, Any]) -> SeverityRunSettings:
        return load_model(SeverityRunSettings, path, {**given, **values}, lambda _: deepcopy(document))

    check_sweep(chosen, settings_of)
    alignment = {}
    if options.lungs is not None:
        data = settings_of({}).data
        alignment["alignment"] = str(upstream_alignment(options.lungs, cache=data.cache, workers=data.workers))

    def resolved(values: dict[str, Any]) -> SeverityRunSettings:
        return resolve(settings_of({**alignment, **values}))

    settings = SweepRunSettings(sweep=chosen, severity=resolved({}))
    use_threads(options.threads or settings.severity.loop.threads)
    run = open_run("sweep", settings, options.out, fresh=options.fresh)
    metrics = run_sweep(settings, run, resolved)
    say(f"Done: {run.path}")
    if options.as_json:
        print_json({"run": str(run.path), **metrics})
