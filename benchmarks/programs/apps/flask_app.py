from __future__ import annotations

from flask import Flask, Response, request

from benchmarks.programs.apps import NAME, OPTIONS, PROPERTIES, page

app = Flask(__name__)
if OPTIONS:
    from datalyr_core import Datalyr
    from datalyr_flask import FlaskDatalyr

    FlaskDatalyr(app, client=Datalyr(**OPTIONS))


@app.get("/")
def products() -> Response:
    if OPTIONS:
        request.datalyr.track(NAME, PROPERTIES)  # type: ignore[attr-defined]  # the plugin's
    return Response(page(), mimetype="application/json")
