from typing import assert_type

from flask import Flask, request
from flask.views import MethodView

from datalyr_core import Datalyr, Tracker
from datalyr_flask import FlaskDatalyr, current_datalyr

app = Flask(__name__)
FlaskDatalyr(app, set_visitor_cookie=True)
FlaskDatalyr(client=Datalyr("dk_…")).init_app(app)
FlaskDatalyr("dk_…")  # wrong: an application
FlaskDatalyr(app, set_cookie=True)  # wrong: no such option


@app.post("/buy")
def buy() -> str:
    assert_type(current_datalyr, Tracker)
    assert_type(current_datalyr.track("Bought", {"price": 9}), str | None)
    current_datalyr.track("Bought", 9)  # wrong: properties are a mapping
    current_datalyr("Bought")  # wrong: no function
    request.datalyr.track("Bought")  # wrong: Flask's own request does not say that it is there
    return "fine"


class Buy(MethodView):
    def post(self) -> str:
        current_datalyr.track_purchase(49.99, "EUR", {"order": "A1"}, event_id="A1")
        current_datalyr.track_purchase(49.99, currency=978)  # wrong: a currency is a string
        return current_datalyr.anonymous_id  # wrong: None for a visitor who is not tracked
