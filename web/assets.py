"""static/ as browsers get it: under one hash of all of it, so that every file may be kept for ever.

The layers of the stylesheet (static/css) arrive as one file. JavaScript and icons are served as they are: one hash for
the whole tree keeps relative imports working.
"""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from flask import Blueprint, Flask, Response, current_app, request
from werkzeug.exceptions import NotFound

from web.guards import open_to_all

CSS_LAYERS = ("tokens", "base", "layout", "components", "utilities", "print")

blueprint = Blueprint("assets", __name__)

_COMPRESSED = (".css", ".js", ".svg")
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    compressed: bytes | None
    mimetype: str


class _Assets:
    """The files, read once."""

    def __init__(self, folder: Path) -> None:
        self._files = {name: _file(name, body) for name, body in _read(folder).items()}
        mark = hashlib.sha256()
        for name, file in sorted(self._files.items()):
            mark.update(f"{name} {len(file.body)} ".encode() + file.body)
        self.hash = mark.hexdigest()[:12]

    def url(self, name: str) -> str:
        """Return the address of a file, as css/app.css. One that is not there is a bug."""
        if name not in self._files:
            raise LookupError(f"static/ has no {name}")
        return f"/static/{self.hash}/{name}"

    def find(self, name: str) -> _File | None:
        return self._files.get(name)


def install(app: Flask) -> None:
    """Serve the tree, and let templates name its files: {{ "css/app.css"|asset }}."""
    assets = _Assets(Path(app.root_path) / "static")
    app.extensions["sendonce_assets"] = assets
    app.jinja_env.filters["asset"] = assets.url
    app.register_blueprint(blueprint)


@blueprint.get("/static/<mark>/<path:name>")
@open_to_all
def static_file(mark: str, name: str) -> Response:
    """Give one file; under another version's hash the one there is now, which is not to be kept."""
    assets: _Assets = current_app.extensions["sendonce_assets"]
    file = assets.find(name)
    if file is None:
        raise NotFound
    compressed = file.compressed if "gzip" in request.headers.get("Accept-Encoding", "") else None
    answer = Response(compressed or file.body, mimetype=file.mimetype)
    if compressed:
        answer.headers["Content-Encoding"] = "gzip"
    answer.headers["Vary"] = "Accept-Encoding"
    answer.headers["Cache-Control"] = _FOR_EVER if mark == assets.hash else "no-cache"
    return answer


def _read(folder: Path) -> dict[str, bytes]:
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    layers = [files.pop(f"css/{layer}.css") for layer in CSS_LAYERS]
    order = f"@layer {', '.join(CSS_LAYERS)};\n".encode()
    files["css/app.css"] = order + b"\n".join(layers)
    return files


def _file(name: str, body: bytes) -> _File:
    suffix = Path(name).suffix
    compressed = gzip.compress(body, 9, mtime=0) if suffix in _COMPRESSED else None
    kind = "text/javascript" if suffix == ".js" else mimetypes.guess_type(name)[0]
    return _File(body, compressed, kind or "application/octet-stream")
