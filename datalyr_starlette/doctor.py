"""What `datalyr doctor` finds in a Starlette or FastAPI application."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from starlette.applications import Starlette

from datalyr_core import Config, ConfigurationError, Datalyr
from datalyr_core.doctor.findings import Finding, Mount, error, ok, warning
from datalyr_core.doctor.settings import check_environment, check_problem
from datalyr_starlette.middleware import DatalyrMiddleware, _mounted


def examine(app: object) -> Mount | None:
    """Tell how an application has Datalyr, or None when it is not Starlette's."""
    wrapping = list(_wrapping(app))
    inner = wrapping[-1]
    around = [layer for layer in wrapping if isinstance(layer, DatalyrMiddleware)]
    if not isinstance(inner, Starlette):
        if not around:
            return None
        return Mount(around[0].client.config, [ok("mount", f"around a {type(inner).__name__}")])
    added = _added(inner)
    if around:
        outside = ok("mount", f"around the whole {type(inner).__name__} application")
        return Mount(around[0].client.config, [outside, *_twice(len(around) + len(added))])
    if added:
        place = inner.user_middleware.index(added[0])
        return _configured(added[0], [_position(inner, place), *_twice(len(added))])
    return _of_a_part(inner)


def _wrapping(app: Any) -> Iterator[Any]:
    """Follow ASGI middleware inwards, which by custom keeps what it wraps as `app`."""
    yield app
    while not isinstance(app, Starlette) and callable(getattr(app, "app", None)):
        app = app.app
        yield app


def _added(app: Starlette) -> list[Any]:
    layers: list[Any] = app.user_middleware
    return [layer for layer in layers if layer.cls is DatalyrMiddleware]


def _configured(layer: Any, findings: list[Finding]) -> Mount:
    """Read the configuration as the middleware would, without making a client."""
    given = {**dict(zip(("client",), layer.args, strict=False)), **layer.kwargs}
    client: Datalyr | None = given.pop("client", None)
    try:
        config = client.config if client else Config.from_env(**given)
    except ConfigurationError as problem:
        return Mount(None, [*findings, *check_problem(problem)])
    return Mount(config, [*findings, *check_environment(os.environ)])


def _position(app: Starlette, place: int) -> Finding:
    outside = [getattr(layer.cls, "__name__", "?") for layer in app.user_middleware[:place]]
    told = f"; {', '.join(outside)} around it cannot use request.datalyr" if outside else ""
    total = len(app.user_middleware)
    return ok("mount", f"DatalyrMiddleware, number {place + 1} of {total} from the outside{told}")


def _twice(count: int) -> list[Finding]:
    if count < 2:
        return []
    seen = f"DatalyrMiddleware is there {count} times; the outermost counts"
    return [warning("mount", seen, "Add it once: each makes a client of its own.")]


def _of_a_part(app: Starlette) -> Mount:
    for part in _mounted(app):
        added = _added(part)
        if added:
            seen = "DatalyrMiddleware is on a mounted application alone, which gets no lifespan"
            return _configured(
                added[0], [warning("lifespan", seen, "Add it to the outermost application.")]
            )
    seen = f"the {type(app).__name__} application has no DatalyrMiddleware"
    return Mount(None, [error("mount", seen, "Write app.add_middleware(DatalyrMiddleware, ...).")])
