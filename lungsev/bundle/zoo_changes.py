"""Changes to a zoo: add a bundle, remove one, write the index anew. Each change is made whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml

from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.bundle.card_tables import headline
from lungsev.bundle.contents import MANIFEST_FILE
from lungsev.bundle.zoo import INDEX_FILE, NAME, ZooBundle, ZooEntry, ZooIndex, read_index
from lungsev.errors import BundleError
from lungsev.report import DISCLAIMER
from lungsev.system import atomic_folder, lock_file, write_atomically


def add_bundle(source: Path, zoo: Path, name: str | None = None) -> ZooBundle:
    """Copy a bundle into a zoo and list it; a bundle that is there already is left as it is.

    Args:
        source: Folder or .zip; it is checked whole.
        zoo: Folder, made where it is missing.
        name: Name in the zoo; None is the bundle's own.

    Raises:
        BundleError: The bundle is damaged, the name is none or taken by another bundle, or the zoo cannot be written.
    """
    if name is not None and not re.fullmatch(NAME, name):
        raise BundleError(f"found the name {name!r}, expected letters, digits, '.', '_', '+' and '-', at most 64")
    bundle = read_bundle(source)
    with _changing(zoo) as index:
        entry = _entry(bundle, name or bundle.manifest.name)
        held = next((other for other in index.bundles if other.full_name == entry.full_name), None)
        if held is None:
            _copy(bundle, zoo / entry.path)
            _write_index(zoo, (*index.bundles, entry))
        elif held.sha256 != entry.sha256:
            raise BundleError(
                f"{zoo} lists another bundle as {entry.full_name}; give another --name, or remove it first: "
                f"lungsev-run models remove {entry.full_name}"
            )
    return ZooBundle(held or entry, zoo)


def remove_bundle(name: str, zoo: Path) -> ZooBundle:
    """Take a bundle, `name` or `name@version`, off the index of a zoo and delete it.

    Raises:
        BundleError: The zoo has no such bundle, several are meant, or the zoo cannot be written.
    """
    with _changing(zoo) as index:
        found = [entry for entry in index.bundles if name in (entry.name, entry.full_name)]
        if len(found) != 1:
            names = ", ".join(entry.full_name for entry in found or index.bundles) or "none"
            problem = "has several versions of" if found else "has no bundle"
            raise BundleError(f"{zoo} {problem} {name}; expected one of: {names}")
        _write_index(zoo, [entry for entry in index.bundles if entry != found[0]])
        path = zoo / found[0].path
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return ZooBundle(found[0], zoo)


def write_index(zoo: Path) -> ZooIndex:
    """Write the index of the bundles that are in a folder anew, and return it. Names given by `add_bundle` remain.

    Raises:
        BundleError: A bundle is damaged, two have one name and version, or the folder cannot be written.
    """
    if not zoo.is_dir():
        raise BundleError(f"{zoo} does not exist, expected a folder of bundles")
    with _changing(zoo, ignore_damage=True) as index:
        names = {entry.sha256: entry.name for entry in index.bundles}
        bundles = [read_bundle(path) for path in sorted(zoo.iterdir()) if _is_bundle(path)]
        entries = [_entry(bundle, names.get(bundle.sha256, bundle.manifest.name), bundle.path) for bundle in bundles]
        listed = [entry.full_name for entry in entries]
        for entry in entries:
            if listed.count(entry.full_name) > 1:
                twins = ", ".join(str(zoo / other.path) for other in entries if other.full_name == entry.full_name)
                raise BundleError(f"{twins} are all {entry.full_name}; leave one of them in {zoo}")
        return _write_index(zoo, entries)


@contextmanager
def _changing(zoo: Path, ignore_damage: bool = False) -> Iterator[ZooIndex]:
    """Hold the zoo against other processes and yield its index; an error of the disk becomes one line."""
    try:
        zoo.mkdir(parents=True, exist_ok=True)
        folder = os.open(zoo, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with suppress(OSError):  # a share without locks
                lock_file(folder, wait=True)
            yield _index(zoo, ignore_damage)
        finally:
            os.close(folder)
    except OSError as error:
        raise BundleError(f"cannot change the zoo {zoo}: {error.strerror or error}") from None


def _index(zoo: Path, ignore_damage: bool) -> ZooIndex:
    try:
        return read_index(zoo)
    except BundleError:
        if not ignore_damage:
            raise
        return ZooIndex()


def _entry(bundle: Bundle, name: str, path: Path | None = None) -> ZooEntry:
    manifest = bundle.manifest
    suffix = ".zip" if bundle.path.is_file() else ""
    return ZooEntry(
        name=name,
        version=manifest.version,
        title=", ".join(scheme.title for scheme in manifest.schemes),
        schemes=tuple(scheme.name for scheme in manifest.schemes),
        path=path.name if path is not None else f"{name}@{manifest.version}{suffix}",
        sha256=bundle.sha256,
        size_bytes=bundle.size_bytes,
        licence=manifest.licence,
        note=DISCLAIMER,
        figures=headline(manifest.metrics),
    )


def _copy(bundle: Bundle, target: Path) -> None:
    if bundle.path.is_dir():
        with atomic_folder(target) as folder:
            for name in bundle.file_names:
                (folder / name).write_bytes(bundle.file_bytes(name))
    else:
        write_atomically(target, bundle.path.read_bytes())


def _write_index(zoo: Path, entries: list[ZooEntry] | tuple[ZooEntry, ...]) -> ZooIndex:
    index = ZooIndex(bundles=tuple(sorted(entries, key=lambda entry: entry.full_name)))
    text = yaml.safe_dump(index.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)
    write_atomically(zoo / INDEX_FILE, text)
    return index


def _is_bundle(path: Path) -> bool:
    return path.suffix == ".zip" if path.is_file() else (path / MANIFEST_FILE).is_file()
