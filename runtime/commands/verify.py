"""`lungsev-run verify`: is the model what it claims to be, and does it run on this machine?"""

from __future__ import annotations

from lungsev.runtime.commands.options import BackendOption, BundleOption, JsonOption, ThreadsOption


def verify(
    bundle: BundleOption = None,
    backend: BackendOption = "auto",
    threads: ThreadsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Check a bundle: checksums, versions, and one inference on a phantom image.

    Example: lungsev-run verify --bundle bundles/newest --allow-unsigned
    """
    from lungsev.errors import LungsevError
    from lungsev.runtime.checks.check import print_checks
    from lungsev.runtime.checks.model import check_model

    checks = check_model(bundle, backend, threads)
    print_checks(checks, json_output)
    failed = [check for check in checks if not check.ok]
    if failed:
        raise LungsevError(f"{failed[0].name}: {failed[0].found}; {failed[0].advice}".rstrip("; "))
