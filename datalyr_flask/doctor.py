"""What `datalyr doctor` finds in a Flask application."""

from __future__ import annotations

from flask import Flask

from datalyr_core import Datalyr
from datalyr_core.doctor.findings import Finding, Mount, error, ok, warning
from datalyr_flask import extension
from datalyr_flask.request import NAME


def examine(app: object) -> Mount | None:
    """Tell how an application has Datalyr, or None when it is not Flask's."""
    if not isinstance(app, Flask):
        return None
    client: Datalyr | None = app.extensions.get(NAME)
    if client is None:
        missing = f"Flask application {app.name!r} has no Datalyr"
        return Mount(None, [error("mount", missing, "Call FlaskDatalyr(app) or init_app(app).")])
    mounted = ok("mount", f"FlaskDatalyr on the application {app.name!r}")
    return Mount(client.config, [mounted, *_order(app, client)])


def _order(app: Flask, client: Datalyr) -> list[Finding]:
    """Check that the cookie is decided when all others are done with the response."""
    if not client.config.set_visitor_cookie:
        return []
    functions = app.after_request_funcs[None]
    later = functions[: functions.index(extension._add_cookie)]  # Flask calls them in reverse
    if not later:
        return [ok("order", "the visitor cookie is set after every after_request function")]
    names = ", ".join(getattr(each, "__name__", "?") for each in later)
    return [
        warning(
            "order",
            f"{names} may still change the response's caching after the visitor cookie is set",
            "Mount Datalyr last of all extensions.",
        )
    ]
