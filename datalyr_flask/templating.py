"""`datalyr_browser_sdk()` for Flask's templates."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from flask import g
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from datalyr_core.browser_sdk import script_tag

if TYPE_CHECKING:
    from datalyr_core import Datalyr


def browser_sdk(client: Datalyr, allowed: Callable[[], bool]) -> Callable[..., Markup]:
    """Make the function that an application's templates call.

    Args:
        client: The application's client.
        allowed: Tells whether the visitor of the request that is served here, if there is
            one, may be tracked.
    """

    @pass_context
    def datalyr_browser_sdk(context: Context, nonce: object = None) -> Markup:
        """Write the browser SDK's script tag; nothing for a visitor who is not tracked."""
        tag = script_tag(
            client.config.workspace_id,
            context.get("csp_nonce"),  # a variable, or Flask-Talisman's function
            lambda: g.get("csp_nonce"),
            nonce=nonce,
            allowed=allowed(),
        )
        return Markup(tag)  # noqa: S704 - script_tag escapes

    return datalyr_browser_sdk
