"""A Flask application that tracks one event a request and answers its id."""

from flask import Flask, request

from datalyr_core import Config
from datalyr_flask import FlaskDatalyr

app = Flask(__name__)
app.config["DATALYR_API_KEY"] = "dk_live"
app.config["DATALYR_HOST"] = Config.from_env().host
FlaskDatalyr(app)


@app.get("/track")
def track() -> str:
    return request.datalyr.track("Live", {"n": request.args.get("n")})
