"""Files that pages load: style, scripts, fonts, and the pictures of the images."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from pathlib import Path

from fastapi import FastAPI, HTTPException, Response

from lungsev.runtime.dashboard.style import palette_css

LAYERS = {"image": "images", "map": "maps", "overlay": "overlays"}
_STATIC = {
    "app.css": "text/css",
    "palette.css": "text/css",
    "app.js": "text/javascript",
    "board.js": "text/javascript",
    "form.js": "text/javascript",
    "live.js": "text/javascript",
    "stream.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "inter-400.woff": "font/woff",
    "inter-600.woff": "font/woff",
}


def add_assets(app: FastAPI) -> None:
    """Serve the files of the package. The page that asks for the token needs them; none is about patients."""

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        return _static(name, "no-cache")

    @app.get("/static/{tag}/{name}")
    def tagged(tag: str, name: str) -> Response:
        return _static(name, "max-age=31536000, immutable" if assets_path().endswith(f"/{tag}") else "no-cache")


@cache
def assets_path() -> str:
    """Return the path of the static files, which changes with their contents, so that browsers may keep them."""
    contents = hashlib.sha256(b"".join(_data(name) for name in _STATIC))
    return f"/static/{contents.hexdigest()[:12]}"


def layer_file(out: Path, layer: str, exam_id: str) -> Path:
    """Return a layer's path: `watch` keeps layers in folders, `score --out` writes the overlay beside the report."""
    path = out / LAYERS[layer] / f"{exam_id}.png"
    return path if path.is_file() or layer != "overlay" else out / f"{exam_id}.png"


def _static(name: str, caching: str) -> Response:
    if name not in _STATIC:
        raise HTTPException(404)
    return Response(_data(name), media_type=_STATIC[name], headers={"Cache-Control": caching})


@cache
def _data(name: str) -> bytes:
    if name == "palette.css":
        return palette_css().encode()
    package = "lungsev.drawing" if name.endswith(".woff") else "lungsev.runtime.dashboard"
    folder = "fonts" if name.endswith(".woff") else "static"
    return (resources.files(package) / folder / name).read_bytes()
