"""For FastAPI: a parameter of type `DatalyrDep` is the request's tracker."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from datalyr_core import Tracker
from datalyr_starlette.request import get_tracker


async def _tracker(connection: HTTPConnection) -> Tracker:
    """Return the tracker; async, since FastAPI gives a plain function a thread."""
    return get_tracker(connection)


DatalyrDep = Annotated[Tracker, Depends(_tracker)]
"""The tracker of the request or the websocket."""
