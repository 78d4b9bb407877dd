"""The Flask application of the soak."""

from __future__ import annotations

from flask import Flask, Response, request

from datalyr_flask import FlaskDatalyr
from tests.live.soak.apps import USER_HEADER, views
from tests.live.soak.apps.views import Visit

app = Flask(__name__)
app.config.update({f"DATALYR_{name}": value for name, value in views.options().items()})
FlaskDatalyr(app, user_id=lambda request: request.headers.get(USER_HEADER))
client = app.extensions["datalyr"]


@app.get("/track")
def track() -> str:
    return views.one(request.datalyr, Visit.of(request.args), 0)


@app.get("/several")
def several() -> str:
    return "".join(views.several(request.datalyr, Visit.of(request.args)))


@app.get("/stream")
def stream() -> Response:
    return Response(views.several(request.datalyr, Visit.of(request.args)))


@app.get("/fork")
def fork() -> str:
    visit, many = Visit.of(request.args), int(request.args["many"])
    return views.fork(client, visit, request.args["method"], many)


@app.get("/stats")
def stats() -> str:
    return views.counts(client)
