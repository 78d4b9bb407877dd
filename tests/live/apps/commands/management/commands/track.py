"""A management command that tracks and ends."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

import datalyr_django
from tests.live.apps.ledger import note


class Command(BaseCommand):
    help = "Track, and end well or badly"

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--fail", action="store_true")

    def handle(self, *args: object, fail: bool, **options: object) -> None:
        for _ in range(200):
            note(datalyr_django.get_client().track("user", "Live"))
        if fail:
            raise CommandError("on purpose")
