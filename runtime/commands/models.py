"""`lungsev-run models`: the bundles that --bundle knows by name, and the user's own zoo of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lungsev.runtime.commands.options import JsonOption

if TYPE_CHECKING:
    from lungsev.bundle.zoo import ZooBundle

models = typer.Typer(
    help="List the models that --bundle knows by name; add, remove and index them. Works without a network.\n\n"
    "Example: lungsev-run models add my-bundle --name chest"
)

BundleName = Annotated[str, typer.Argument(metavar="NAME", help="Name, or name@version.")]
ZooOption = Annotated[
    Path | None, typer.Option("--zoo", help="Folder of the zoo. Default: yours, ~/.local/share/lungsev/zoo.")
]


@models.callback(invoke_without_command=True)
def list_models(context: typer.Context, json_output: JsonOption = False) -> None:
    """List the models of every zoo."""
    if context.invoked_subcommand is not None:
        return
    import json

    from lungsev.bundle.zoo import list_bundles
    from lungsev.runtime.console import display_name

    found = list_bundles()
    if json_output:
        print(json.dumps([_document(item) for item in found], indent=2))
        return
    for item in found:
        entry = item.entry
        print(f"{entry.full_name}  {entry.title}, {entry.size_bytes / 1e6:.1f} MB")
        for line in (entry.figures or "no test images", f"{entry.licence}. {entry.note}", str(item.path)):
            print(f"    {display_name(line)}")


@models.command()
def add(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder or .zip.")],
    name: Annotated[str | None, typer.Option("--name", help="Name in the zoo. Default: the bundle's own.")] = None,
    zoo: ZooOption = None,
) -> None:
    """Copy a bundle into your zoo, so that --bundle knows it by name and asks for no signature again.

    Example: lungsev-run models add my-bundle.zip --name chest
    """
    from lungsev.bundle.archive import demand_trust, read_bundle
    from lungsev.bundle.zoo import user_zoo
    from lungsev.bundle.zoo_changes import add_bundle

    demand_trust(read_bundle(bundle))
    added = add_bundle(bundle, zoo or user_zoo(), name)
    print(f"Added {added.entry.full_name}: lungsev-run score IMAGE --bundle {added.entry.full_name}")


@models.command()
def remove(name: BundleName, zoo: ZooOption = None) -> None:
    """Delete a bundle from your zoo.

    Example: lungsev-run models remove chest@1
    """
    from lungsev.bundle.zoo import user_zoo
    from lungsev.bundle.zoo_changes import remove_bundle

    removed = remove_bundle(name, zoo or user_zoo())
    print(f"Removed {removed.entry.full_name} from {removed.zoo}")


@models.command()
def index(folder: Annotated[Path, typer.Argument(help="Folder of bundles.")]) -> None:
    """Write the index of a folder of bundles.

    LUNGSEV_ZOO, or `zoo` in the settings file, may then name the folder.

    Example: lungsev-run models index /srv/bundles
    """
    from lungsev.bundle.zoo_changes import write_index
    from lungsev.runtime.console import count_noun

    print(f"{folder}: {count_noun(len(write_index(folder).bundles), 'bundle')} indexed")


def _document(item: ZooBundle) -> dict[str, Any]:
    return {**item.entry.model_dump(mode="json"), "path": str(item.path), "zoo": str(item.zoo)}
