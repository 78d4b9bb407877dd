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
    from django.http import HttpResponse
    from django.test import RequestFactory
    from posthog.integrations.django import PosthogContextMiddleware

    answered = HttpResponse()
    wrapped = PosthogContextMiddleware(lambda request: answered)
    request = RequestFactory().get("/", headers={"cookie": "sessionid=abcdefgh"})
    pair = Pair(lambda: wrapped.get_response(request), lambda: wrapped(request))
    yield {"added_time": pair.added_time, "added_memory": pair.added_memory}


if __name__ == "__main__":
    answer(middleware)
