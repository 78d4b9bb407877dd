"""The request as type checkers should know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpRequest

if TYPE_CHECKING:
    from datalyr_django.tracker import DjangoTracker


class DatalyrHttpRequest(HttpRequest):
    """Be a request whose `datalyr` type checkers know. For annotations alone."""

    datalyr: DjangoTracker
