"""The examination: every check in its order, each within its time, none of them raising."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from datalyr_core.config import Config
from datalyr_core.doctor.broker import check_broker
from datalyr_core.doctor.budget import check_budget
from datalyr_core.doctor.findings import Finding, Level, error, skipped
from datalyr_core.doctor.probe import probe
from datalyr_core.doctor.process import check_process
from datalyr_core.doctor.route import Place, connect, find_proxy, look_up, place_of
from datalyr_core.doctor.servers import check_servers
from datalyr_core.doctor.settings import check_config
from datalyr_core.doctor.tls import check_tls


@dataclass(frozen=True, slots=True)
class Conditions:
    """Say how to examine.

    Attributes:
        timeout: Seconds that one step may take.
        probe: Whether to send an event.
        grace: Seconds that a server or an orchestrator gives a process to end.
        folder: Where the servers' configuration files are.
    """

    timeout: float = 5.0
    probe: bool = True
    grace: float | None = None
    folder: Path = Path()


def examine(config: Config, conditions: Conditions | None = None) -> Iterator[Finding]:
    """Examine the set-up of a client, one check after another.

    Args:
        config: The client's configuration.
        conditions: How to do it.
    """
    how = conditions or Conditions()
    checks: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        ("config", lambda: check_config(config)),
        ("process", check_process),
        ("servers", lambda: check_servers(how.folder)),
        ("grace", lambda: check_budget(config, how.grace, os.environ, how.folder)),
        ("network", lambda: _check_network(config, how)),
    ]
    for name, check in checks:
        for finding in _guarded(name, check):
            seen, todo = config.without_key(finding.seen), config.without_key(finding.todo)
            yield replace(finding, seen=seen, todo=todo)


def _guarded(name: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as problem:
        seen = f"the check failed itself: {type(problem).__name__}: {problem}"
        yield error(name, seen, "Please report this; the other findings hold.")


def _check_network(config: Config, how: Conditions) -> Iterator[Finding]:
    if config.broker:
        yield check_broker(config, how.timeout)
        yield skipped("probe", "events go to the broker, from where a relay sends them on")
        return
    is_dead = False
    if isinstance(config.transport, str) and config.http_client is None:
        for finding in _check_way(config, how.timeout):
            is_dead = is_dead or finding.level is Level.ERROR
            yield finding
    else:
        yield skipped("network", "events go through a transport of the application's own")
    if not how.probe:
        yield skipped("probe", "not asked for")
    elif not config.enabled:
        yield skipped("probe", "the option enabled is off")
    elif is_dead:
        yield skipped("probe", "no event gets through", "See the error above.")
    else:
        yield from probe(config, how.timeout)


def _check_way(config: Config, timeout: float) -> Iterator[Finding]:
    target = place_of(config.host)
    proxy, found = find_proxy(target)
    yield found
    if found.level is Level.ERROR:
        return
    reached = False
    for finding in _check_connection(proxy or target, timeout):
        reached = reached or (finding.check == "tcp" and finding.level is Level.OK)
        yield finding
    if reached:
        yield check_tls(target, proxy, timeout)


def _check_connection(place: Place, timeout: float) -> Iterator[Finding]:
    addresses, found = look_up(place, timeout)
    yield found
    yield from connect(place, addresses, timeout)
