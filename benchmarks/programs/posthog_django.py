"""PostHog's middleware for Django around a view that does nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.programs.answering import Commands, answer
from benchmarks.programs.pairs import Pair


@contextmanager
def middleware() -> Iterator[Commands]:
    from django.conf import settings

    settings.configure(ALLOWED_HOSTS=["*"], INSTALLED_APPS=[])
    logging.disable(logging.WARNING)
    import django

    django.setup()
    from django.core.handlers.wsgi import WSGIRequest
    from django.http import HttpResponse
    from django.test import RequestFactory
    from posthog.integrations.django import PosthogContextMiddleware

    answered = HttpResponse()
    wrapped = PosthogContextMiddleware(lambda request: answered)
    environ = RequestFactory().get("/", headers={"cookie": "sessionid=abcdefgh"}).environ
    pair = Pair(wrapped.get_response, wrapped, lambda: WSGIRequest(dict(environ)))
    yield {"added_time": pair.added_time, "added_memory": pair.added_memory}


if __name__ == "__main__":
    answer(middleware)
