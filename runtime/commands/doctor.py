"""`lungsev-run doctor`: check everything an image needs on its way, and say what to do about what is missing."""

from __future__ import annotations

from lungsev.runtime.commands.options import (
    BackendOverride,
    BundleOption,
    ConfigOption,
    IncomingArgument,
    JsonOption,
    WatchOutOption,
)


def doctor(
    incoming: IncomingArgument = None,
    out: WatchOutOption = None,
    config: ConfigOption = None,
    bundle: BundleOption = None,
    backend: BackendOverride = None,
    json_output: JsonOption = False,
) -> None:
    """Check model, GPU, memory, clock, extras, folders, ports and destinations, and say how to correct what is wrong.

    Every destination is opened and sent nothing of a patient. Exit code 1 when something does not work.

    Example: lungsev-run doctor --config bedside.yaml
    """
    from lungsev.config import load_model
    from lungsev.errors import LungsevError
    from lungsev.runtime.checks.check import print_checks
    from lungsev.runtime.checks.examine import examine
    from lungsev.runtime.settings import BedsideSettings

    overrides = {"watch.incoming": incoming, "watch.out": out, "model.bundle": bundle, "model.backend": backend}
    checks = list(examine(load_model(BedsideSettings, config, overrides)))
    print_checks(checks, json_output)
    failed = [check for check in checks if not check.ok]
    if failed:
        raise LungsevError(f"{len(failed)} of {len(checks)} checks failed, first {failed[0].name}: {failed[0].advice}")
