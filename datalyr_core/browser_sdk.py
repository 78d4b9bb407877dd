"""The script tag of the browser SDK, for templates."""

from __future__ import annotations

import logging
from html import escape

SCRIPT = "https://track.datalyr.com/dl.js"

logger = logging.getLogger("datalyr.browser_sdk")


def script_tag(
    workspace_id: object, *nonces: object, nonce: object = None, allowed: bool = True
) -> str:
    """Write the browser SDK's script tag.

    Args:
        workspace_id: The workspace; without one there is nothing to load.
        *nonces: Where else the nonce may be: each is a nonce, a function that tells it, or
            nothing. The first that there is counts, and none is asked in vain.
        nonce: The page's Content-Security-Policy nonce, if it has one. A lazy one, which
            frameworks make when it is first written, is false until then.
        allowed: Whether the visitor may be tracked.

    Returns:
        The tag, escaped, or an empty string.
    """
    if not workspace_id or not allowed:
        return ""
    written = next(filter(None, map(_written, (nonce, *nonces))), "")
    mark = f' nonce="{escape(written)}"' if written else ""
    workspace = escape(str(workspace_id))
    return f'<script defer src="{SCRIPT}" data-workspace-id="{workspace}"{mark}></script>'


def _written(nonce: object) -> str:
    """Write a nonce, or what an application's function says that it is."""
    try:
        told = nonce() if callable(nonce) else nonce
        return "" if told is None else str(told)
    except Exception as error:  # a page without the script beats no page
        # Such as a lazy nonce of a page that is streamed, whose policy has been sent.
        logger.warning("the browser SDK's tag has no nonce: %s", error)
        return ""
