"""`datalyr_browser_sdk()` for Jinja templates of Starlette and FastAPI.

templates = install(Jinja2Templates("templates"))
"""

from __future__ import annotations

from typing import TypeVar

from jinja2 import Environment, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.requests import HTTPConnection
from starlette.templating import Jinja2Templates

from datalyr_core import Tracker, current_tracker
from datalyr_core.browser_sdk import script_tag
from datalyr_starlette.web_request import SCOPE_KEY

Templates = TypeVar("Templates", bound=Jinja2Templates | Environment)


def install(templates: Templates) -> Templates:
    """Give templates the function `datalyr_browser_sdk`.

    Args:
        templates: Starlette's or FastAPI's `Jinja2Templates`, or an environment of Jinja.

    Returns:
        The same templates.
    """
    env = templates if isinstance(templates, Environment) else templates.env
    env.globals["datalyr_browser_sdk"] = _browser_sdk
    return templates


@pass_context
def _browser_sdk(context: Context, nonce: object = None) -> Markup:
    """Write the browser SDK's script tag; nothing where no visitor is known or tracked."""
    request = context.get("request")
    scope = request.scope if isinstance(request, HTTPConnection) else {}
    # The request counts: the page of an error is made where no tracker is current any more.
    tracker: Tracker | None = scope.get(SCOPE_KEY) or current_tracker()
    if tracker is None or tracker.client is None:
        return Markup("")
    tag = script_tag(
        tracker.client.config.workspace_id,
        context.get("csp_nonce"),
        scope.get("state", {}).get("csp_nonce"),
        nonce=nonce,
        allowed=tracker.allowed,
    )
    return Markup(tag)  # noqa: S704 - script_tag escapes
