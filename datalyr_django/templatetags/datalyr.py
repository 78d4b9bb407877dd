"""`{% load datalyr %}{% datalyr_browser_sdk %}`."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.safestring import SafeString, mark_safe

from datalyr_core.browser_sdk import script_tag
from datalyr_django.settings import get_client

register = template.Library()


@register.simple_tag(takes_context=True)
def datalyr_browser_sdk(context: template.Context) -> SafeString:
    """Write the browser SDK's script tag; nothing for a visitor who is not tracked."""
    request: Any = context.get("request")
    tracker = getattr(request, "datalyr", None)
    nonce = context.get("csp_nonce")
    if nonce is None:
        nonce = getattr(request, "csp_nonce", None)
    tag = script_tag(
        get_client().config.workspace_id,
        nonce=nonce,
        allowed=tracker is None or tracker.allowed,
    )
    return mark_safe(tag)  # noqa: S308 - script_tag escapes
