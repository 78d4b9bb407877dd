"""A FastAPI application with views in a thread pool, which tracks and answers the event's id."""

import time

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

from datalyr_starlette import DatalyrMiddleware
from tests.live.apps.ledger import PLAIN, note, plain_id, told_to_go_on

app = FastAPI(default_response_class=PlainTextResponse)
if not PLAIN:
    app.add_middleware(DatalyrMiddleware)


def _one(request: Request, kind: str) -> str:
    return note(plain_id() if PLAIN else request.datalyr.track("Live"), kind)


@app.get("/track")
def track(request: Request) -> str:
    return _one(request, "load")


@app.get("/slow")
def slow(request: Request) -> str:
    _one(request, "begun")
    while not told_to_go_on():
        time.sleep(0.05)
    return _one(request, "late")
