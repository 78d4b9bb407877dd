"""The script tag of the browser SDK, for templates."""

from __future__ import annotations

from html import escape

SCRIPT = "https://track.datalyr.com/dl.js"


def script_tag(workspace_id: object, *, nonce: object = None, allowed: bool = True) -> str:
    """Write the browser SDK's script tag.

    Args:
        workspace_id: The workspace; without one there is nothing to load.
        nonce: The page's Content-Security-Policy nonce, if it has one. A lazy one, which
            frameworks make when it is first written, is false until then.
        allowed: Whether the visitor may be tracked.

    Returns:
        The tag, escaped, or an empty string.
    """
    if not workspace_id or not allowed:
        return ""
    written = "" if nonce is None else str(nonce)
    mark = f' nonce="{escape(written)}"' if written else ""
    workspace = escape(str(workspace_id))
    return f'<script defer src="{SCRIPT}" data-workspace-id="{workspace}"{mark}></script>'
