"""`datalyr relay`: from a broker to the ingest."""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from datalyr_core import lifecycle
from datalyr_core.commands import INTERRUPTED, fail, say
from datalyr_core.config import Config
from datalyr_core.errors import ConfigurationError, without_credentials

if TYPE_CHECKING:
    from datalyr_core.broker.intake import Source
    from datalyr_core.commands import Commands

FAILED, UNUSABLE = 1, 2
_EPILOG = """\
The API key and other options come from the environment: DATALYR_API_KEY, DATALYR_BROKER,
DATALYR_BROKER_QUEUE, DATALYR_HOST, DATALYR_TIMEOUT, DATALYR_CONCURRENCY, DATALYR_CLOSE_TIMEOUT…
A broker's password in a command line, everybody on the machine can read.

SIGTERM or Ctrl+C: nothing more is taken, what is on its way is finished within close_timeout,
the rest goes back to the broker. A second one ends at once.

exit status:
  0    it was told to end, or the dead letters are moved (--redrive)
  1    the broker was lost at the end, or while dead letters were moved; nothing is lost by it
  2    it cannot begin: arguments, the settings, the port
  130  a second signal ended it at once
"""


def add_parser(commands: Commands) -> None:
    """Add the sub-command."""
    text = "take events from a message broker and deliver them to the ingest"
    parser = commands.add_parser(
        "relay",
        help=text,
        description=text.capitalize(),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_arguments(parser.add_argument)
    parser.set_defaults(run=_relay)


def _add_arguments(add: Callable[..., Any]) -> None:
    add("--broker", metavar="URL", help="where to take them from; also DATALYR_BROKER")
    add("--queue", metavar="NAME", help="the queue; also DATALYR_BROKER_QUEUE")
    add("--host", metavar="URL", help="where to send them; also DATALYR_HOST")
    add(
        "--prefetch",
        metavar="N",
        type=_whole(1, 10_000),
        default=50,
        help="messages, of up to 100 events each, that are held at once; default: 50",
    )
    add(
        "--visibility-timeout",
        metavar="SECONDS",
        type=_whole(5, 43_200),
        default=120,
        help="when Redis or SQS hands out again what a killed relay held; default: 120",
    )
    add("--status-port", metavar="N", type=_whole(0, 65_535), help="serve /health, /status, …")
    add("--status-host", metavar="ADDRESS", default="127.0.0.1", help="default: 127.0.0.1")
    add("--redrive", action="store_true", help="move the dead letters back, and end")
    add("--limit", metavar="N", type=_whole(1, 10**9), help="how many dead letters at most")


def _relay(options: argparse.Namespace) -> int:
    if options.limit and not options.redrive:
        return fail("--limit is for --redrive", UNUSABLE)
    given = {"broker": options.broker, "broker_queue": options.queue, "host": options.host}
    more: dict[str, Any] = {name: value for name, value in given.items() if value}
    if options.redrive:
        more["enabled"] = False  # it sends nothing, and needs no key
    try:
        config = Config.from_env(**more)
    except ConfigurationError as error:
        return fail(str(error), UNUSABLE)
    if not config.broker:
        return fail("there is no broker: write --broker URL, or set DATALYR_BROKER", UNUSABLE)
    if not (config.enabled or options.redrive):
        return fail("DATALYR_ENABLED is off, so nothing would be sent", UNUSABLE)
    # Only here: the other commands work without the extra. It is there: the option asks for it.
    from datalyr_core.broker.intake import Source

    source = Source(
        url=config.broker,
        queue=config.broker_queue,
        prefetch=options.prefetch,
        timeout=config.timeout,
        # What is under way for all of the time-out must not be handed out meanwhile.
        visibility_timeout=max(options.visibility_timeout, math.ceil(3 * config.timeout)),
    )
    with lifecycle.counted_interruptions() as interruptions, _log(config):
        if options.redrive:
            return _redrive(source, options.limit, interruptions)
        return _run(config, source, options, interruptions)


def _run(
    config: Config,
    source: Source,
    options: argparse.Namespace,
    interruptions: Callable[[], int],
) -> int:
    from datalyr_core.relay import Relay
    from datalyr_core.relay.status import status_server

    with ExitStack() as stack:
        try:
            relay = Relay(config, source)
            if options.status_port is not None:
                address = (options.status_host, options.status_port)
                port = stack.enter_context(status_server(address, relay.status, relay.problems))
                say(f"status: http://{options.status_host}:{port}/status", sys.stderr)
        except ConfigurationError as error:
            return fail(str(error), UNUSABLE)
        except OSError as error:
            return fail(f"cannot listen on {address[0]}:{address[1]}: {error.strerror}", UNUSABLE)
        good = relay.run(interruptions)
    if interruptions() > 1:
        return INTERRUPTED
    return 0 if good else FAILED


def _redrive(source: Source, limit: int | None, interruptions: Callable[[], int]) -> int:
    from datalyr_core.relay.redrive import redrive

    try:
        moved = redrive(source, limit, lambda: interruptions() > 0)
    except Exception as error:  # of kombu, of its drivers, of sockets
        told = without_credentials(f"{type(error).__name__}: {error}")
        return fail(f"the broker failed ({told}); dead letters that were not moved stay", FAILED)
    say(f"dead letters moved back to {source.queue}: {moved}")
    return INTERRUPTED if interruptions() else 0


@contextmanager
def _log(config: Config) -> Iterator[None]:
    """Write the log to standard error."""
    logger = logging.getLogger("datalyr")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if config.debug else logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _whole(low: int, high: int) -> Callable[[str], Any]:
    def check(text: str) -> int:
        if not (text.isdigit() and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return check
