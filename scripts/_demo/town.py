"""The town: an inspector and the three shops that send to it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from datalyr_core.inspector.server import ListenError, RunningInspector, running
from scripts._demo import payments
from scripts._demo.child import Child
from scripts._demo.ports import HOST
from scripts._demo.waiting import DemoError, Stop

EXAMPLES = Path(__file__).parents[2] / "example_projects"
STARTING = 30.0  # seconds, on a slow machine
NAMES = {"django": "Django", "flask": "Flask", "fastapi": "FastAPI"}

# The gunicorn ones read the rest of their settings from the gunicorn.conf.py beside the shop.
SERVERS = {
    "django": "-m gunicorn --bind {address} --log-level warning shop.wsgi",
    "flask": "-m gunicorn --bind {address} --log-level warning shop:app",
    "fastapi": "-m uvicorn --port {port} --log-level warning shop:app",
}


class Town:
    """What runs, and what the inspector has seen of it."""

    def __init__(self, inspector: RunningInspector) -> None:
        self.url = inspector.url
        self.track_url = inspector.track_url
        self.shops: dict[str, Child] = {}

    def open(self, ports: Mapping[str, int], stop: Stop) -> None:
        """Start the shops, and wait until each answers."""
        urls = {shop: f"http://{HOST}:{ports[shop]}" for shop in NAMES}
        env = {
            "DATALYR_HOST": self.track_url,
            "DJANGO_SETTINGS_MODULE": "shop.settings",  # a shell may have another project's
            "PYTHONPATH": _first_in_path(EXAMPLES.parent),  # this checkout, whatever is installed
            "SECRET_KEY": secrets.token_hex(32),  # Django's workers need a common one
            "SHOPIFY_SECRET": payments.SHOPIFY_SECRET,
            "SHOP_LINKS": " ".join(
                f"{name}={url}" for name, url in {**_named(urls), "Inspector": self.url}.items()
            ),
        }
        for shop, url in urls.items():
            command = SERVERS[shop].format(address=f"{HOST}:{ports[shop]}", port=ports[shop])
            folder = EXAMPLES / f"{shop}_shop"
            self.shops[shop] = Child(NAMES[shop], url, command.split(), folder, env)
        for child in self.shops.values():
            stop.until(child.answers, f"the {child.name} shop answers", STARTING)

    def close(self) -> None:
        """End the shops: all are asked first, then each is waited for."""
        shops, self.shops = self.shops, {}
        problems = []
        for child in shops.values():
            child.ask_to_end()
        for child in shops.values():
            try:
                child.end()
            except DemoError as problem:
                problems.append(str(problem))
        if problems:
            raise DemoError("; ".join(problems))

    def events(self) -> dict[str, Any]:
        """Ask the inspector for the events that arrived, with its counts."""
        return self._ask("events")

    def attempts(self) -> list[Any]:
        """Ask the inspector for the requests that it did not accept."""
        return list(self._ask("attempts")["attempts"])

    def _ask(self, what: str) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(f"{self.url}/api/{what}", trust_env=False).json()
        return answer


@contextmanager
def opened(ports: Mapping[str, int], stop: Stop) -> Iterator[Town]:
    """Run the town while the block lasts; the inspector ends when no shop can send any more."""
    with ExitStack() as open_things:
        try:
            inspector = open_things.enter_context(running(HOST, ports["inspector"]))
        except ListenError as error:
            raise DemoError(str(error).partition(". ")[0]) from error
        town = Town(inspector)
        open_things.callback(town.close)
        town.open(ports, stop)
        yield town


def _named(urls: Mapping[str, str]) -> dict[str, str]:
    return {NAMES[shop]: url for shop, url in urls.items()}


def _first_in_path(folder: Path) -> str:
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
