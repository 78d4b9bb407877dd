"""Other products' clients, in an environment of their own: `.benchmarks/peers`."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

from benchmarks._environments import Environment
from benchmarks._workers import Unavailable, Worker

PACKAGES = {
    "segment": "segment-analytics-python",
    "posthog": "posthog",
    "snowplow": "snowplow-tracker",
    "rudderstack": "rudder-sdk-python",
    "sentry": "sentry-sdk",
}
TITLES = {
    "segment": "Segment",
    "posthog": "PostHog",
    "snowplow": "Snowplow",
    "rudderstack": "RudderStack",
    "sentry": "Sentry",
}
_environment = Environment("peers")


@cache
def installed() -> dict[str, str]:
    """Install what is missing, and return the version of each peer that is there."""
    wanted = [*PACKAGES.values(), f"django=={_ours('django')}"]
    _environment.make()
    there = _environment.versions()
    for requirement in wanted:  # one by one: what cannot be installed keeps no other away
        name, _, exact = requirement.partition("==")
        if name not in there or (exact and there[name] != exact):
            _environment.install(requirement)
    there = _environment.versions()
    return {name: there[package] for name, package in PACKAGES.items() if package in there}


def worker(program: str, *arguments: str, peer: str) -> Worker:
    """Run a program in the peers' environment.

    Raises:
        Unavailable: The peer is not installed, or does not start.
    """
    if peer not in installed():
        raise Unavailable(f"{PACKAGES[peer]} cannot be installed")
    return Worker(program, *arguments, python=_environment.python)


def _ours(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "5.2"
