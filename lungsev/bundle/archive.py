"""Bundle: all that goes from training to the bedside. A folder or one .zip, never a pickle.

    manifest.yaml      what the model is, how it is fed, what comes out (`Manifest`)
    model.onnx         FP32 graph, weights inside
    model.fp16.onnx    the same network in half precision (optional)
    parity.json        how far the graphs' results are from the network's (optional)
    card.md            model card for people
    LICENSE            terms of the weights (optional)
    SHA256SUMS         of every file above; its own hash names the bundle (`Bundle.sha256`)
    SIGNATURE          of SHA256SUMS, by its makers' keys (optional, `lungsev.bundle.signature`)

A bundle is untrusted until its checksums are right; its graphs refer to nothing outside.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml

from lungsev.bundle.contents import (
    CHECKSUM_FILE,
    GRAPH_FILES,
    MANIFEST_FILE,
    OPTIONAL_FILES,
    REQUIRED_FILES,
    SIGNATURE_FILE,
    check_graph,
    check_names,
    check_preprocessing,
    check_sums,
    parse_manifest,
)
from lungsev.bundle.manifest import Manifest, Precision
from lungsev.bundle.onnx_facts import read_onnx
from lungsev.bundle.signature import demand_signature, refuse_forged, signature_line
from lungsev.bundle.trust import unsigned_allowed
from lungsev.bundle.zipped import opened_zip, read_member
from lungsev.bundle.zoo import find_bundle, is_added
from lungsev.errors import BundleError, ConfigError
from lungsev.preprocessing.canvas import PREPROCESSING_VERSION
from lungsev.system import atomic_folder, write_atomically

MAX_BUNDLE_BYTES = 2 << 30


@dataclass(frozen=True)
class Bundle:
    """A bundle whose checksums were right when it was read.

    Attributes:
        path: Folder or .zip.
        sha256: Hash of SHA256SUMS, hex: the identity of the model in every report.
    """

    path: Path
    manifest: Manifest
    sha256: str
    _files: Mapping[str, bytes]

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Precisions that this bundle has a graph for."""
        return tuple(precision for precision, name in GRAPH_FILES.items() if name in self._files)

    def graph_bytes(self, precision: Precision = "fp32") -> bytes:
        """Return the serialised ONNX graph.

        Raises:
            BundleError: The bundle holds no graph of that precision.
        """
        if precision not in self.precisions:
            held = ", ".join(self.precisions)
            raise BundleError(
                f"bundle {self.manifest.name} has no {precision} graph, only {held}; "
                f"write it with lungsev-export RUN --{precision}"
            )
        return self._files[GRAPH_FILES[precision]]

    def graph_sha256(self, precision: Precision = "fp32") -> str:
        """Return the hash of one graph, hex; engines built from it are stored under it."""
        return hashlib.sha256(self.graph_bytes(precision)).hexdigest()

    @property
    def file_names(self) -> tuple[str, ...]:
        """Names of all files."""
        return tuple(self._files)

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return sum(map(len, self._files.values()))

    def has_file(self, name: str) -> bool:
        """Return whether the bundle holds this file."""
        return name in self._files

    def file_bytes(self, name: str) -> bytes:
        """Return any file of the bundle by its name, e.g. `card.md`.

        Raises:
            BundleError: No such file in this bundle.
        """
        if name not in self._files:
            raise BundleError(f"bundle {self.manifest.name} has no {name}; it has {', '.join(sorted(self._files))}")
        return self._files[name]


@dataclass(frozen=True)
class Check:
    """One line of `lungsev-run verify`."""

    name: str
    passed: bool
    detail: str


def default_bundle_path() -> Path:
    """Return where the bundle is that ships with lungsev."""
    return Path(str(resources.files("lungsev.bundle") / "default"))


def read_bundle(path: Path | str | None = None) -> Bundle:
    """Read and check a bundle; None is the one that ships with lungsev.

    Args:
        path: Folder, .zip, or the name of a bundle in a zoo (`lungsev.bundle.zoo`).

    Raises:
        BundleError: It is missing, damaged, has unknown files, or is of another version.
    """
    where = default_bundle_path() if path is None else find_bundle(path)
    files = _load_files(where)
    check_names(files, where)
    check_sums(files, where)
    manifest = parse_manifest(files[MANIFEST_FILE], where)
    check_preprocessing(manifest, where)
    for name in GRAPH_FILES.values():
        if name in files:
            check_graph(read_onnx(files[name]), manifest, f"{where}/{name}")
    sums = files[CHECKSUM_FILE]
    return Bundle(where, manifest, hashlib.sha256(sums).hexdigest(), files)


def write_bundle(
    target: Path,
    manifest: Manifest,
    graphs: Mapping[Precision, bytes],
    card: str,
    extra: Mapping[str, bytes] | None = None,
) -> Bundle:
    """Write a bundle completely or not at all, read it back and return it.

    Args:
        target: Folder, or a path that ends in .zip. An older bundle there is replaced; anything else is not.
        manifest: Written as manifest.yaml.
        graphs: Serialised ONNX by precision; `fp32` is required.
        card: Model card, Markdown.
        extra: Optional files by name (`parity.json`, `LICENSE`).

    Raises:
        BundleError: The parts contradict each other, or the target cannot be written.
    """
    files: dict[str, bytes] = {GRAPH_FILES[precision]: data for precision, data in graphs.items()}
    files.update(extra or {})
    files["card.md"] = card.encode("utf-8")
    document = yaml.safe_dump(manifest.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)
    files[MANIFEST_FILE] = document.encode("utf-8")
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    files[CHECKSUM_FILE] = "".join(lines).encode("ascii")
    check_names(files, target)
    _refuse_foreign_target(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".zip":
            _write_zip(target, files)
        else:
            with atomic_folder(target) as folder:
                for name, data in files.items():
                    (folder / name).write_bytes(data)
    except OSError as error:
        raise BundleError(f"cannot write the bundle to {target}: {error.strerror or error}") from None
    return read_bundle(target)


def pack_bundle(bundle: Bundle, target: Path) -> Bundle:
    """Write a bundle as a .zip without a change: `sha256` stays, and the same files give the same bytes.

    Raises:
        BundleError: The target cannot be written.
    """
    try:
        _write_zip(target, {name: bundle.file_bytes(name) for name in bundle.file_names})
    except OSError as error:
        raise BundleError(f"cannot write the bundle to {target}: {error.strerror or error}") from None
    return read_bundle(target)


def sign_bundle(target: Path, private_key: Path) -> Bundle:
    """Sign a bundle in place with a key's file; signatures by other keys stay, those of other files go.

    Raises:
        BundleError: There is no bundle, or it cannot be written.
        ConfigError: The file is no Ed25519 private key.
    """
    bundle = read_bundle(target)
    line = signature_line(private_key, bundle.file_bytes(CHECKSUM_FILE))
    identity = line.split()[1]
    earlier = bundle.file_bytes(SIGNATURE_FILE) if bundle.has_file(SIGNATURE_FILE) else b""
    others = b"".join(old for old in earlier.splitlines(keepends=True) if old.split()[1:2] != [identity])
    try:
        if bundle.path.is_dir():
            write_atomically(bundle.path / SIGNATURE_FILE, others + line)
        else:
            files = {name: bundle.file_bytes(name) for name in bundle.file_names}
            _write_zip(bundle.path, {**files, SIGNATURE_FILE: others + line})
    except OSError as error:
        raise BundleError(f"cannot sign the bundle {target}: {error.strerror or error}") from None
    return read_bundle(bundle.path)


def demand_trust(bundle: Bundle, allow_unsigned: bool = False) -> str:
    """Return why a bundle may be used: where it came from, who signed it, or that no signature was asked for.

    Raises:
        BundleError: It is neither the packaged one nor in the user's own zoo, and no trusted key signed it.
        ConfigError: A file among the trusted keys is no public key.
    """
    files = {name: bundle.file_bytes(name) for name in (CHECKSUM_FILE, SIGNATURE_FILE) if bundle.has_file(name)}
    return _trust_in(files, bundle.path, allow_unsigned)


def verify_bundle(path: Path | str | None = None, allow_unsigned: bool = False) -> list[Check]:
    """Run every check of a bundle in order; stop after the first failure without which the rest makes no sense."""
    checks: list[Check] = []

    def passes(name: str, detail: str) -> None:
        checks.append(Check(name, True, detail))

    try:
        name = "files"
        where = default_bundle_path() if path is None else find_bundle(path)
        files = _load_files(where)
        check_names(files, where)
        passes(name, f"{len(files)} files, {sum(map(len, files.values())) / 1e6:.1f} MB")
        name = "checksums"
        check_sums(files, where)
        passes(name, f"bundle sha256 {hashlib.sha256(files[CHECKSUM_FILE]).hexdigest()}")
        name = "signature"
        passes(name, _trust_in(files, where, allow_unsigned))
        name = "manifest"
        manifest = parse_manifest(files[MANIFEST_FILE], where)
        passes(name, f"{manifest.name} {manifest.version}, format version {manifest.format_version}")
        name = "preprocessing"
        found = manifest.preprocessing_version
        checks.append(Check(name, found == PREPROCESSING_VERSION, f"version {found}, here {PREPROCESSING_VERSION}"))
        for graph_file in (graph for graph in GRAPH_FILES.values() if graph in files):
            name = graph_file
            facts = read_onnx(files[graph_file])
            check_graph(facts, manifest, graph_file)
            passes(name, f"opset {facts.opset}, {len(facts.nodes)} operations, {len(files[graph_file]) / 1e6:.1f} MB")
    except (BundleError, ConfigError) as error:
        checks.append(Check(name, False, str(error)))
    return checks


def _trust_in(files: Mapping[str, bytes], where: Path, allow_unsigned: bool) -> str:
    if where.resolve() == default_bundle_path().resolve():
        return "packaged with lungsev"
    if allow_unsigned or unsigned_allowed():
        refuse_forged(files, where)
        return "not asked for"
    if is_added(hashlib.sha256(files[CHECKSUM_FILE]).hexdigest()):
        return "added by you (lungsev-run models)"
    return f"by {demand_signature(files, where)}"


def _load_files(path: Path) -> dict[str, bytes]:
    try:
        if path.is_dir():
            return _load_folder(path)
        if path.is_file():
            return _load_zip(path)
    except OSError as error:
        raise BundleError(f"cannot read the bundle {path}: {error.strerror or error}") from None
    raise BundleError(f"there is no bundle at {path}; expected a folder or a .zip written by lungsev-export")


def _load_folder(path: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    total = 0
    for entry in sorted(path.iterdir()):
        if entry.is_symlink() or not entry.is_file():
            raise BundleError(f"{path} holds {entry.name}, which is no plain file; a bundle has plain files only")
        total += entry.stat().st_size
        if total > MAX_BUNDLE_BYTES or len(files) > 64:
            raise BundleError(f"{path} is larger than a bundle can be ({MAX_BUNDLE_BYTES >> 30} GiB, 64 files)")
        files[entry.name] = entry.read_bytes()
    return files


def _load_zip(path: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    with opened_zip(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > MAX_BUNDLE_BYTES or len(members) > 64:
            raise BundleError(f"{path} is larger than a bundle can be ({MAX_BUNDLE_BYTES >> 30} GiB, 64 files)")
        for member in members:
            if member.filename not in (*REQUIRED_FILES, *OPTIONAL_FILES) or member.filename in files:
                raise BundleError(
                    f"{path} holds {member.filename!r}; a zipped bundle holds the files of the folder at its top "
                    "level, each once, and nothing else"
                )
            files[member.filename] = read_member(archive, member)
    return files


def _refuse_foreign_target(target: Path) -> None:
    if target.suffix == ".zip":
        if target.exists() and not (target.is_file() and zipfile.is_zipfile(target)):
            raise BundleError(f"{target} exists and is no bundle; choose another --out")
    elif target.exists() and not target.is_dir():
        raise BundleError(f"{target} exists and is no folder; choose another --out, or one that ends in .zip")
    elif target.is_dir() and any(target.iterdir()) and not (target / MANIFEST_FILE).is_file():
        raise BundleError(f"{target} holds other files and no bundle; choose another --out")


def _write_zip(target: Path, files: Mapping[str, bytes]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name), data)  # fixed date: the same parts give the same bytes
    write_atomically(target, buffer.getvalue())
