"""Django's ASGI application, with an answer to the server's lifespan messages.

Django's own has none, and uvicorn ends its process with the signal that stopped it, past
`atexit`: what waits would be lost. In `asgi.py`, import `get_asgi_application` from here.
A router in front of it has to let the lifespan through, as Channels' does when told so:

application = ProtocolTypeRouter({"http": django, "lifespan": django, "websocket": …})
"""

from __future__ import annotations

import logging
from typing import Any

from django.core.asgi import get_asgi_application as django_application
from django.http import HttpRequest

from datalyr_core.lifecycle import exit_is_covered
from datalyr_django import settings

logger = logging.getLogger("datalyr.django")

_answered = False  # whether a server's lifespan messages have come to an application of ours
_warned = False


def get_asgi_application() -> LifespanApplication:
    """Return Django's ASGI application, which also closes Datalyr's client at shutdown."""
    return LifespanApplication(django_application())


class LifespanApplication:
    """Answer lifespan messages and leave everything else to Django."""

    def __init__(self, django: Any) -> None:
        """Wrap an application."""
        self.django = django

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection, or the process's lifespan."""
        if scope["type"] != "lifespan":
            await self.django(scope, receive, send)
            return
        global _answered
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                _answered = True
                if settings.get_client().closed:  # the application is started again
                    settings.forget_client()
                await send({"type": "lifespan.startup.complete"})
            else:
                client = settings.get_client()
                await client.aclose(client.config.exit_timeout)
                await send({"type": "lifespan.shutdown.complete"})
                return


def warn_without_lifespan(request: HttpRequest) -> None:
    """Say once that the server's shutdown goes unnoticed, if it does."""
    global _warned
    if _answered or _warned or not hasattr(request, "scope") or exit_is_covered():
        return
    _warned = True
    logger.warning(
        "events may be lost when this ASGI server stops: in asgi.py, import "
        "get_asgi_application from datalyr_django.asgi instead of django.core.asgi, and let a "
        "router pass 'lifespan' on to it: ProtocolTypeRouter({'lifespan': django, 'http': django})"
    )
