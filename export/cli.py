"""`lungsev-export`: from a checkpoint to a bundle, and from a bundle to an engine or a Triton repository."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lungsev import __version__
from lungsev.bundle.trust import UNSIGNED_OPTION, allow_unsigned
from lungsev.errors import LungsevError, MissingExtraError
from lungsev.inference.cpus import limit_thread_pools
from lungsev.inference.tensorrt.command import engine

DEFAULT_COMMAND = "bundle"


class _BundleByDefault(TyperGroup):
    """`lungsev-export RUN --fp16` means `lungsev-export bundle RUN --fp16`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if UNSIGNED_OPTION in args:
            rest = [word for word in args if word != UNSIGNED_OPTION]
            return super().parse_args(ctx, [UNSIGNED_OPTION, *self._with_command(rest)])
        return super().parse_args(ctx, self._with_command(args))

    def _with_command(self, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("--help", "--version")):
            return [DEFAULT_COMMAND, *args]
        return args


app = typer.Typer(
    name="lungsev-export",
    cls=_BundleByDefault,
    help="Export a trained network as a bundle, and a bundle as a TensorRT engine or a Triton repository.\n\n"
    "`bundle` is the default command: lungsev-export [RUN] [--fp16] [--out BUNDLE] [--images DIR].\n\n"
    "Exit codes: 0 done, 1 an error that the operator can correct (one line says how), 2 wrong usage.",
    epilog="Example: lungsev-export runs/brixia/20261123-120000 --fp16 --out model.zip",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

KEY_HELP = "Ed25519 private key: openssl genpkey -algorithm ed25519 -out key.pem"
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output, for machines.")]


def main() -> None:
    """Run the command; an operator's error becomes one line on standard error and an exit code."""
    limit_thread_pools()
    try:
        app()
    except LungsevError as error:
        print(f"lungsev-export: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=lambda wanted: _print_version(wanted), help="Print it.")
    ] = False,
    unsigned: Annotated[
        bool, typer.Option(UNSIGNED_OPTION, help="Use bundles that no trusted key has signed; with any command.")
    ] = False,
) -> None:
    if unsigned or context.invoked_subcommand in (DEFAULT_COMMAND, "sign"):  # these open what was made here
        allow_unsigned()


@app.command(DEFAULT_COMMAND, epilog="Example: lungsev-export --fp16 --images ward-7/ --out model.zip")
def bundle_command(
    run: Annotated[Path | None, typer.Argument(help="Run folder. Default: the newest finished severity run.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder or .zip. Default: bundles/<name>-<version> here.")
    ] = None,
    fp16: Annotated[bool, typer.Option("--fp16", help="Also write the half-precision graph for TensorRT.")] = False,
    bfloat16: Annotated[
        bool, typer.Option("--bfloat16", help="Round the weights so that bfloat16 holds them; measure it afterwards.")
    ] = False,
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder of real images to compare the graphs on, besides phantoms.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the model.")] = None,
    model_version: Annotated[str | None, typer.Option("--model-version", help="Version of the model.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="A data source for the card that the run does not name; repeatable."),
    ] = None,
    licence: Annotated[str | None, typer.Option("--licence", help="Licence of the weights.")] = None,
    intended_use: Annotated[str | None, typer.Option("--intended-use", help="What the model is for.")] = None,
    key: Annotated[Path | None, typer.Option("--key", help=f"Sign the bundle. {KEY_HELP}")] = None,
    json_output: JsonOption = False,
) -> None:
    """Write a bundle from a run; refuse if a graph differs from the network."""
    try:
        from lungsev.export.bundle_from_run import ExportOptions, bundle_from_run
    except ImportError as error:
        if (error.name or "").split(".")[0] in ("torch", "timm", "segmentation_models_pytorch", "onnx"):
            raise MissingExtraError("exporting a network", "export") from None
        raise
    from lungsev.bundle.archive import sign_bundle
    from lungsev.bundle.card_text import INTENDED_USE, LICENCE
    from lungsev.export.run_folder import newest_run
    from lungsev.inference.parity import radiographs_in

    if images is not None and not images.is_dir():
        raise LungsevError(f"--images {images} is not a folder; give the folder of the images")
    found = run if run is not None else newest_run()
    options = ExportOptions(
        half=fp16,
        bfloat16=bfloat16,
        name=name,
        version=model_version,
        images=tuple(radiographs_in(images)) if images is not None else (),
        data=tuple(data or ()),
        licence=licence or LICENCE,
        intended_use=intended_use or INTENDED_USE,
    )
    target = out if out is not None else Path("bundles") / found.resolve().name
    exported = bundle_from_run(found, target, options, log=_say_to(sys.stderr))
    if key is not None:
        sign_bundle(target, key)
    sizes = {name: len(exported.bundle.graph_bytes(name)) for name in exported.bundle.precisions}
    if json_output:
        document = {
            "bundle": str(target),
            "sha256": exported.bundle.sha256,
            "graph_bytes": sizes,
            "parity": [parity.to_dict() for parity in exported.parities],
        }
        print(json.dumps(document, indent=2))
        return
    print(
        f"{target}: {', '.join(f'{key} {size / 1e6:.1f} MB' for key, size in sizes.items())}, {exported.bundle.sha256}"
    )


app.command(epilog="Example: lungsev-export engine model.zip --for 8.9 --out engines")(engine)


@app.command("sign", epilog="Example: lungsev-export sign model.zip --key ~/keys/lungsev.pem")
def sign_command(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder or .zip, signed in place.")],
    key: Annotated[Path, typer.Option("--key", help=KEY_HELP)],
) -> None:
    """Sign a bundle. Who trusts the key's public half may use it: openssl pkey -in key.pem -pubout -out maker.pem."""
    from lungsev.bundle.archive import sign_bundle
    from lungsev.bundle.contents import SIGNATURE_FILE

    signed = sign_bundle(bundle, key)
    keys = [line.split()[1].decode() for line in signed.file_bytes(SIGNATURE_FILE).splitlines()]
    print(f"{bundle}: {signed.sha256}, signed by {', '.join(keys)}")


@app.command("bfloat16", epilog="Example: lungsev-export bfloat16 model.zip ward-7/ --out model.zip")
def bfloat16_command(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder or .zip.")],
    images: Annotated[Path, typer.Argument(help="Folder of real images, 100 or more, like those it will grade.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder or .zip with the margins; may be BUNDLE.")],
    depth: Annotated[
        int | None, typer.Option("--depth", min=0, help="Layers at the severity network's entry that stay FP32.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Measure how close to its border a grade may lie in bfloat16, and write it into a bundle's manifest.

    Processors with bfloat16 then grade in it, and again in FP32 what lies closer. Sign the bundle afterwards.
    """
    from lungsev.bundle.archive import demand_trust, read_bundle
    from lungsev.export.bfloat16 import ENTRY_DEPTH, with_margins
    from lungsev.inference.parity import radiographs_in

    if not images.is_dir():
        raise LungsevError(f"{images} is not a folder; give the folder of the images")
    opened = read_bundle(bundle)
    demand_trust(opened)
    files = radiographs_in(images)
    written = with_margins(opened, out, files, ENTRY_DEPTH if depth is None else depth, _say_to(sys.stderr))
    measured = written.manifest.bfloat16
    assert measured is not None  # it was just written
    if json_output:
        print(json.dumps({"bundle": str(out), "sha256": written.sha256, "bfloat16": measured.model_dump(mode="json")}))
        return
    print(f"{out}: {measured.again:.1%} of the images are graded again in FP32, {written.sha256}")


@app.command("triton", epilog="Example: lungsev-export triton model.zip /srv/models --max-batch 8")
def triton_command(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder or .zip.")],
    out: Annotated[Path, typer.Argument(help="Folder of the model repository.")],
    network_by: Annotated[
        str | None,
        typer.Option(
            "--network-by",
            help="Triton's backend that runs the network: onnxruntime, tensorrt (with --plan) or python (lungsev's own "
            "ONNX Runtime, on the CPU). Default: onnxruntime, or tensorrt where there is a plan.",
        ),
    ] = None,
    max_batch: Annotated[
        int, typer.Option("--max-batch", min=1, max=256, help="Images in one run; 1 turns batching off.")
    ] = 8,
    queue_us: Annotated[
        int, typer.Option("--queue-us", min=0, help="Microseconds that an image waits for others.")
    ] = 2000,
    plan: Annotated[
        Path | None, typer.Option("--plan", help="TensorRT plan of one image, built for the server's GPU.")
    ] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Run the models on the CPU.")] = False,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=256, help="Processes that read and prepare images.")
    ] = 2,
) -> None:
    """Write a Triton model repository: an ensemble from the bytes of an image file to its report, and a client."""
    from lungsev.bundle.archive import demand_trust, read_bundle
    from lungsev.export.triton.config import NETWORKS_BY, TritonOptions
    from lungsev.export.triton.repository import triton_from_bundle

    by = network_by or ("tensorrt" if plan is not None else "onnxruntime")
    if by not in NETWORKS_BY:
        raise LungsevError(f"found --network-by {by}, expected one of {', '.join(NETWORKS_BY)}")
    if plan is not None and by != "tensorrt":
        raise LungsevError(f"found --plan with --network-by {by}, which runs no plan; leave one of the two out")
    if cpu and by == "tensorrt":
        raise LungsevError("found --cpu with a TensorRT plan, which runs on a GPU alone; leave one of the two out")
    options = TritonOptions(by, max_batch, queue_us, plan, gpu=not cpu, workers=workers)  # type: ignore[arg-type]
    opened = read_bundle(bundle)
    demand_trust(opened)
    try:
        models = triton_from_bundle(opened, out, options, log=_say_to(sys.stderr))
    except ImportError as error:
        if (error.name or "").split(".")[0] in ("torch", "onnx"):
            raise MissingExtraError("a graph for batches", "export") from None
        raise
    command = f"NVIDIA_TF32_OVERRIDE=0 tritonserver --model-repository {out.resolve()}"
    print(f"{out}: {', '.join(models)}; serve it with {command}")


def _say_to(stream: Any) -> Any:
    from rich.console import Console

    console = Console(file=stream, highlight=False, markup=False, soft_wrap=True)
    return console.print


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"lungsev-export {__version__}")
        raise typer.Exit
