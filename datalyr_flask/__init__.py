"""Datalyr for Flask.

app.config["DATALYR_API_KEY"] = "dk_…"
FlaskDatalyr(app)

@app.post("/buy")
def buy():
    request.datalyr.track("Purchase Completed", {"amount": 99.99})
"""

from datalyr_flask.extension import FlaskDatalyr
from datalyr_flask.request import current_datalyr

__all__ = ["FlaskDatalyr", "current_datalyr"]
