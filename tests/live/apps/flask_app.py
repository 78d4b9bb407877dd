"""A Flask application that tracks and answers the event's id."""

import time

from flask import Flask, request

from datalyr_core import Config
from datalyr_flask import FlaskDatalyr
from tests.live.apps.ledger import PLAIN, note, plain_id, told_to_go_on

app = Flask(__name__)
if not PLAIN:
    app.config["DATALYR_API_KEY"] = "dk_live"
    app.config["DATALYR_HOST"] = Config.from_env().host
    app.config["DATALYR_EXIT_TIMEOUT"] = Config.from_env().exit_timeout
    FlaskDatalyr(app)


def _one(kind: str) -> str:
    return note(plain_id() if PLAIN else request.datalyr.track("Live"), kind)


@app.get("/track")
def track() -> str:
    return _one("load")


@app.get("/slow")
def slow() -> str:
    _one("begun")
    while not told_to_go_on():
        time.sleep(0.05)
    return _one("late")


@app.get("/block")
def block() -> str:
    """Give nobody a turn, not even other greenlets."""
    _one("block")
    while True:
        pass
