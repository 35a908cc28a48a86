"""Write what a bedside install holds as CycloneDX 1.6 JSON: the lock file's packages with hashes, and the model.

The same sources give the same bytes: no clock, and a serial number made of the contents.

    python .ci/sbom.py dist/lungsev.cdx.json --wheel dist/lungsev-0.1.0-py3-none-any.whl
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import uuid
from pathlib import Path
from typing import Any

from licences import licence_of
from locked import Locked, read_lock
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

import lungsev
from lungsev.bundle.archive import read_bundle


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--wheel", type=Path, help="lungsev's wheel, whose hash is stated")
    arguments = parser.parse_args()
    document = make_sbom(list(read_lock()), arguments.wheel)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{arguments.out}: {len(document['components'])} components")
    return 0


def make_sbom(packages: list[Locked], wheel: Path | None = None) -> dict[str, Any]:
    components = [_package(package) for package in packages] + [_model()]
    hashes = [_hash(hashlib.sha256(wheel.read_bytes()).hexdigest())] if wheel else []
    purl = f"pkg:pypi/lungsev@{lungsev.__version__}"
    application = {
        "type": "application",
        "bom-ref": purl,
        "name": "lungsev",
        "version": lungsev.__version__,
        "purl": purl,
        "licenses": [{"license": {"id": "Apache-2.0"}}],
        **({"hashes": hashes} if hashes else {}),
    }
    body = json.dumps([application, components], sort_keys=True)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, body)}",
        "metadata": {"component": application},
        "components": components,
        "dependencies": [
            {"ref": purl, "dependsOn": sorted(component["bom-ref"] for component in components)},
            *({"ref": component["bom-ref"]} for component in components),
        ],
    }


def _package(package: Locked) -> dict[str, Any]:
    purl = f"pkg:pypi/{package.name}@{package.version}"
    marker = package.requirement.marker
    properties = [{"name": "lungsev:marker", "value": str(marker)}] if marker else []
    licence = licence_of(package.name)
    return {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
        # A hash for each file of the release that may be installed, one per platform.
        "externalReferences": [
            {"type": "distribution", "url": f"https://pypi.org/project/{package.name}/{package.version}/"}
            | {"hashes": [_hash(digest)]}
            for digest in package.hashes
        ],
        **({"licenses": [_licence(licence)]} if licence else {}),
        **({"properties": properties} if properties else {}),
    }


def _model() -> dict[str, Any]:
    bundle = read_bundle()
    name, version = bundle.manifest.name, bundle.manifest.version
    return {
        "type": "machine-learning-model",
        "bom-ref": f"bundle:{name}@{version}",
        "name": name,
        "version": version,
        "hashes": [_hash(bundle.sha256)],
        "licenses": [_licence(bundle.manifest.licence)],
        "description": "The packaged bundle; its hash is that of its SHA256SUMS.",
    }


def _licence(stated: str) -> dict[str, Any]:
    """As an SPDX expression where it is one."""
    try:
        return {"expression": canonicalize_license_expression(stated)}
    except InvalidLicenseExpression:
        return {"license": {"name": stated}}


def _hash(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}


if __name__ == "__main__":
    sys.exit(main())
