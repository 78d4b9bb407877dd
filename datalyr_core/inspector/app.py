"""Put the inspector together as one Starlette application."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .api import Api
from .ingest import Ingest
from .inspection import Inspection
from .responses import failure
from .security import Guard
from .store import Store
from .stream import KEEP_ALIVE, Stream

# Named here and not guessed from the file name: on some systems the guess for .js is text/plain,
# which a browser refuses as a module.
MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


def create_app(
    host: str = "127.0.0.1",
    store: Store | None = None,
    keep_alive: float = KEEP_ALIVE,
) -> Starlette:
    """Create an inspector.

    Args:
        host: The host that it is served on; others than it and loopback are refused.
        store: Where entries are kept; a new one by default.
        keep_alive: Seconds of silence after which the stream sends a comment.

    Returns:
        The application; its `state.inspection` is what it shares with the server.
    """
    inspection = Inspection(Store() if store is None else store)
    guard = Middleware(Guard, host=host)
    app = Starlette(routes=_routes(inspection, keep_alive), middleware=[guard])
    app.state.inspection = inspection
    return app


def _routes(inspection: Inspection, keep_alive: float) -> list[Route]:
    ingest, api, stream = Ingest(inspection), Api(inspection), Stream(inspection, keep_alive)
    return [
        Route("/track", ingest.track, methods=["POST"]),
        Route("/", ingest.track, methods=["POST"]),
        Route("/", Assets().page, methods=["GET"]),
        Route("/static/{name}", Assets().file, methods=["GET"]),
        Route("/api/events", api.events, methods=["GET"]),
        Route("/api/events", api.clear, methods=["DELETE"]),
        Route("/api/attempts", api.attempts, methods=["GET"]),
        Route("/api/faults", api.faults, methods=["GET"]),
        Route("/api/faults", api.set_fault, methods=["PUT"]),
        Route("/api/stream", stream.stream, methods=["GET"]),
        Route("/api/health", api.health, methods=["GET"]),
    ]


class Assets:
    """The page's files, read once: a request cannot name a path outside them."""

    def __init__(self) -> None:
        folder = Path(__file__).with_name("static")
        self._files = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}

    async def page(self, _request: Request) -> Response:
        """Answer with the page."""
        return self._response("index.html")

    async def file(self, request: Request) -> Response:
        """Answer with one of the page's files."""
        name = request.path_params["name"]
        return self._response(name) if name in self._files else failure(404, "no such file")

    def _response(self, name: str) -> Response:
        return Response(self._files[name], media_type=MEDIA_TYPES[Path(name).suffix])
