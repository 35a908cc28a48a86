"""All checks of a bedside computer, the model first."""

from __future__ import annotations

from collections.abc import Iterator

from lungsev.errors import BundleError
from lungsev.runtime.checks.check import Check
from lungsev.runtime.checks.clock import check_clock, check_zone
from lungsev.runtime.checks.deliveries import check_deliveries
from lungsev.runtime.checks.destinations import check_destinations
from lungsev.runtime.checks.folders import check_incoming, check_output
from lungsev.runtime.checks.machine import (
    check_backend,
    check_bfloat16,
    check_extras,
    check_gpu,
    check_memory,
    check_open_files,
)
from lungsev.runtime.checks.model import check_model
from lungsev.runtime.checks.ports import check_ports
from lungsev.runtime.settings import BedsideSettings
from lungsev.runtime.watcher.layout import Layout
from lungsev.runtime.watcher.watcher import default_out


def examine(settings: BedsideSettings) -> Iterator[Check]:
    """Yield all checks."""
    model = settings.model
    try:
        yield from check_model(model.bundle_path(), model.backend, model.threads, model.allow_unsigned, model.engine)
    except BundleError as error:
        yield Check("model", False, str(error), "lungsev-run models lists the known ones")
    yield check_gpu(model)
    yield check_bfloat16(model)
    yield check_memory()
    yield check_open_files()
    yield check_clock()
    yield check_zone(settings.site.timezone)
    yield check_extras(settings)
    layout = None
    if settings.watch.incoming is not None:
        layout = Layout(settings.watch.out or default_out(settings.watch.incoming))
        yield check_incoming(settings.watch.incoming, settings.watch.leave_in_place)
        yield from check_output(layout, settings.watch.min_free_mb)
        yield from check_deliveries(layout.root)
        yield check_backend(layout.root)
    yield from check_ports(settings, layout)
    yield from check_destinations(settings.destinations)
