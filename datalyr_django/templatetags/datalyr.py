"""`{% load datalyr %}{% datalyr_browser_sdk %}`."""

from __future__ import annotations

from typing import Any

from django import template
from django.http import HttpRequest
from django.utils.safestring import SafeString, mark_safe

from datalyr_core import Tracker, current_tracker
from datalyr_core.browser_sdk import script_tag
from datalyr_django.settings import get_client
from datalyr_django.web_request import DjangoRequest

register = template.Library()


@register.simple_tag(takes_context=True)
def datalyr_browser_sdk(context: template.Context) -> SafeString:
    """Write the browser SDK's script tag; nothing for a visitor who is not tracked."""
    request = context.get("request")
    tracker = _tracker_of(request)
    workspace = get_client().config.workspace_id
    allowed = tracker is None or tracker.allowed
    tag = script_tag(workspace, nonce=_nonce(context, request), allowed=allowed)
    return mark_safe(tag)  # noqa: S308 - script_tag escapes


def _tracker_of(request: Any) -> Tracker | None:
    """Find who is to be asked for consent, also where the template is not given the request."""
    tracker: Tracker | None = getattr(request, "datalyr", None)
    if tracker is not None:
        return tracker
    if isinstance(request, HttpRequest):  # without the middleware
        return get_client().tracker(DjangoRequest(request))
    return current_tracker()


def _nonce(context: template.Context, request: Any) -> object:
    """Find the nonce, without looking at it: a lazy one is made when it is first read.

    It comes from the template's context, from django-csp, or from Django's own middleware
    (6.0 and later), whose `get_nonce(request)` reads the last of these.
    """
    found = (
        context.get("csp_nonce"),
        getattr(request, "csp_nonce", None),
        getattr(request, "_csp_nonce", None),
    )
    return next((nonce for nonce in found if nonce is not None), None)
