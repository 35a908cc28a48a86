"""Zoo: bundles by name. A folder with an index file `zoo.yaml` that names each bundle, its place and its checksum.

A name is looked up in the zoo that ships with lungsev, in $LUNGSEV_ZOO or the folder that the settings file names, and
in the user's own (`user_zoo`). A path goes before a name. Nothing is fetched from a network.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from lungsev.bundle.contents import CHECKSUM_FILE
from lungsev.bundle.zipped import opened_zip, read_member
from lungsev.config import parse_yaml
from lungsev.errors import BundleError

INDEX_FILE = "zoo.yaml"
NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}"
_MAX_INDEX_BYTES = 1 << 20


class ZooEntry(BaseModel):
    """One bundle of a zoo.

    Attributes:
        path: Folder or .zip, relative to the index.
        sha256: `Bundle.sha256`: the hash of its SHA256SUMS, which a folder and a .zip share.
        size_bytes: Of all its files.
        figures: What it reached, in one line.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=f"^{NAME}$")
    version: str = Field(pattern=f"^{NAME}$")
    title: str
    schemes: tuple[str, ...] = Field(min_length=1)
    path: str = Field(min_length=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=1)
    licence: str
    note: str
    figures: str = ""

    @field_validator("path")
    @classmethod
    def _stays_below_the_index(cls, value: str) -> str:
        if Path(value).is_absolute() or ".." in Path(value).parts:
            raise ValueError(f"found {value!r}, expected a path below the folder of the index")
        return value

    @property
    def full_name(self) -> str:
        """Name and version, as an option takes them: `name@version`."""
        return f"{self.name}@{self.version}"


class ZooIndex(BaseModel):
    """zoo.yaml, format version 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    bundles: tuple[ZooEntry, ...] = ()

    @field_validator("bundles")
    @classmethod
    def _names_differ(cls, value: tuple[ZooEntry, ...]) -> tuple[ZooEntry, ...]:
        names = [entry.full_name for entry in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is listed twice")
        return value


@dataclass(frozen=True)
class ZooBundle:
    """A bundle as a zoo lists it; `zoo` is the folder of the index."""

    entry: ZooEntry
    zoo: Path

    @property
    def path(self) -> Path:
        """Folder or .zip."""
        return self.zoo / self.entry.path


def packaged_zoo() -> Path:
    """Return the folder of the bundles that ship with lungsev."""
    return Path(str(resources.files("lungsev.bundle")))


def user_zoo() -> Path:
    """Return the user's own zoo: `lungsev/zoo` in $XDG_DATA_HOME, ~/.local/share, or without a home /var/lib."""
    try:
        root = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser()
    except RuntimeError:
        root = Path("/var/lib")
    return root / "lungsev" / "zoo"


def list_bundles(zoo: Path | None = None) -> list[ZooBundle]:
    """Return the bundles of every zoo, in the order in which a name is looked up.

    Args:
        zoo: Folder that the settings file names; None leaves it to $LUNGSEV_ZOO.

    Raises:
        BundleError: An index is damaged, or the named folder has none.
    """
    named = zoo or (Path(os.environ["LUNGSEV_ZOO"]) if os.environ.get("LUNGSEV_ZOO") else None)
    if named is not None and not (named / INDEX_FILE).is_file():
        raise BundleError(
            f"{named} has no {INDEX_FILE}, expected the folder of a zoo; write one: lungsev-run models index {named}"
        )
    folders = [packaged_zoo(), *([named] if named is not None else []), user_zoo()]
    return [ZooBundle(entry, folder) for folder in dict.fromkeys(folders) for entry in read_index(folder).bundles]


def read_index(folder: Path) -> ZooIndex:
    """Read the index of a zoo; a folder without one is an empty zoo.

    Raises:
        BundleError: It is damaged or cannot be read.
    """
    path = folder / INDEX_FILE
    repair = f"write it again: lungsev-run models index {folder}"
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_INDEX_BYTES + 1)
    except FileNotFoundError:
        return ZooIndex()
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror or error}") from None
    if len(data) > _MAX_INDEX_BYTES:
        raise BundleError(f"{path} is larger than an index can be ({_MAX_INDEX_BYTES >> 20} MiB); {repair}")
    try:
        return ZooIndex.model_validate(parse_yaml(data))
    except (yaml.YAMLError, UnicodeDecodeError):
        raise BundleError(f"{path} is not valid YAML; {repair}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BundleError(
            f"{path}: {key + ': ' if key else ''}{first['msg'].removeprefix('Value error, ')}; {repair}"
        ) from None


def is_added(sha256: str) -> bool:
    """Tell whether the user's own zoo lists a bundle of this checksum: who added it has asked for it.

    Raises:
        BundleError: The index is damaged.
    """
    return any(entry.sha256 == sha256 for entry in read_index(user_zoo()).bundles)


def find_bundle(named: Path | str, zoo: Path | None = None) -> Path:
    """Return the folder or .zip of a bundle that is given by path, by `name` or by `name@version`.

    Args:
        named: What a user gave. What exists as a path is taken as one.
        zoo: As in `list_bundles`.

    Raises:
        BundleError: There is none, several are meant, or it is not the one that the index lists.
    """
    path, name = Path(named), str(named)
    if path.exists() or not re.fullmatch(f"{NAME}(@{NAME})?", name):
        return path
    known = list_bundles(zoo)
    found = [item for item in known if name in (item.entry.name, item.entry.full_name)]
    versions = sorted({item.entry.full_name for item in found})
    if not found:
        raise BundleError(_unknown(name, known))
    if len(versions) > 1:
        raise BundleError(f"{name} has several versions, give one of {', '.join(versions)}")
    if len({item.entry.sha256 for item in found}) > 1:
        places = ", ".join(str(item.path) for item in found)
        raise BundleError(f"{versions[0]} is another bundle in each of several zoos; give the path of one: {places}")
    return _checked(found[0])


def _unknown(name: str, known: list[ZooBundle]) -> str:
    names = sorted({item.entry.name for item in known} | {item.entry.full_name for item in known})
    close = difflib.get_close_matches(name, names, n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    listed = ", ".join(sorted({item.entry.full_name for item in known})) or "none"
    return (
        f"there is no bundle at {name}; expected a folder or a .zip written by lungsev-export, or a known name "
        f"({listed}){meant}"
    )


def _checked(item: ZooBundle) -> Path:
    """Return the path of a listed bundle if its list of checksums is the listed one; reading checks the files by it."""
    entry, advice = item.entry, f"copy it again, or list what is there: lungsev-run models index {item.zoo}"
    if not item.path.exists():
        raise BundleError(f"{entry.full_name} should be at {item.path}, where there is nothing; {advice}")
    found = sums_sha256(item.path)
    if found != entry.sha256:
        raise BundleError(
            f"{entry.full_name} at {item.path} is not the listed bundle: found sha256 {found[:12]}…, expected "
            f"{entry.sha256[:12]}…; {advice}"
        )
    return item.path


def sums_sha256(bundle: Path) -> str:
    """Return the hash of the list of checksums of a bundle, folder or .zip, hex.

    Raises:
        BundleError: It holds none, or cannot be read.
    """
    try:
        if bundle.is_dir():
            return hashlib.sha256((bundle / CHECKSUM_FILE).read_bytes()).hexdigest()
        with opened_zip(bundle) as archive:
            return hashlib.sha256(read_member(archive, archive.getinfo(CHECKSUM_FILE))).hexdigest()
    except (OSError, BundleError) as error:
        raise BundleError(f"{bundle} has no readable {CHECKSUM_FILE} ({error}); copy the bundle again") from None
