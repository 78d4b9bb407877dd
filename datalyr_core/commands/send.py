"""`datalyr send`: one event from the shell, and what the ingest says to it."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from datalyr_core.client import Datalyr
from datalyr_core.commands import arguments, fail, say
from datalyr_core.delivery.base import Reply, Transport
from datalyr_core.encoding import encode
from datalyr_core.errors import ConfigurationError, TransportError

if TYPE_CHECKING:
    from datalyr_core.commands import Commands

KEY = """the key is read from the environment's DATALYR_API_KEY: what stands in a command line,
everybody on the machine can read (ps), and shells keep it"""
EPILOG = f"""{KEY}. Other DATALYR_<OPTION> variables count too.

exit status: 0 delivered, 1 not delivered, 2 a wrong argument or setting"""


def add_parser(commands: Commands) -> None:
    """Add the sub-command."""
    text = "send one event, wait until it is delivered, and say what the ingest answered"
    parser = commands.add_parser(
        "send",
        help=text,
        description=text.capitalize(),
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", metavar="URL", help="where to send it; also DATALYR_HOST")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    parser.add_argument("--api-key", type=_refused, help=argparse.SUPPRESS)
    parser.set_defaults(run=_send)
    _add_event(parser)


def _add_event(parser: argparse.ArgumentParser) -> None:
    """Add what the event is made of."""
    parser.add_argument("event", metavar="EVENT", type=arguments.filled, help="the event's name")
    parser.add_argument("--user-id", metavar="ID", help="the user")
    parser.add_argument("--anonymous-id", metavar="ID", help="the visitor; a fresh one by default")
    parser.add_argument(
        "--property",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        type=arguments.named_value,
        help="one property, any number of times; a value that is JSON is taken as JSON",
    )
    parser.add_argument(
        "--properties",
        metavar="JSON",
        default={},
        type=arguments.properties,
        help="several, as a JSON object; '-' reads it from standard input",
    )
    parser.add_argument(
        "--event-id", metavar="ID", type=arguments.filled, help="the de-duplication key"
    )
    parser.add_argument(
        "--timestamp", type=arguments.timestamp, help="when it happened: ISO 8601, or epoch seconds"
    )


class Witness:
    """Send by another transport, and remember what came of it.

    Attributes:
        transport: The transport that sends.
        answer: What the ingest said last, or why it said nothing.
    """

    transport: Transport
    answer: Reply | TransportError | None = None

    def send(self, body: bytes) -> Reply:
        """Send a body.

        Raises:
            TransportError: No answer came.
        """
        try:
            self.answer = self.transport.send(body)
        except TransportError as error:
            self.answer = error
            raise
        return self.answer


def _send(options: argparse.Namespace) -> int:
    host = {"host": options.host} if options.host else {}
    witness = Witness()
    try:
        client = Datalyr.from_env(transport=witness, broker=None, **host)
    except ConfigurationError as error:
        missing = any(name == "api_key" for name, _ in error.problems)
        return fail(f"{error}\n{KEY}" if missing else str(error), 2)
    with client:
        if not client.config.enabled:
            return fail("nothing is sent while DATALYR_ENABLED is off", 2)
        return _deliver(client, witness, options)


def _deliver(client: Datalyr, witness: Witness, options: argparse.Namespace) -> int:
    # Not by the other commands, which need no HTTP.
    from datalyr_core.delivery.http import HttpTransport

    try:
        transport = witness.transport = HttpTransport(client.config)
    except Exception as error:  # a proxy or certificates that the environment names wrongly
        return fail(f"HTTP cannot be set up ({type(error).__name__}: {error})", 2)
    event_id = client.track(
        event=options.event,
        user_id=options.user_id,
        properties={**options.properties, **dict(options.property)},
        anonymous_id=options.anonymous_id,
        event_id=options.event_id,
        timestamp=options.timestamp,
    )
    delivered = _wait(client)
    answer = witness.answer  # before closing ends a request that has none
    transport.close()
    outcome = {"event_id": event_id, "delivered": delivered, **_told(client, answer)}
    return _report(outcome, as_json=options.json)


def _wait(client: Datalyr) -> bool:
    """Wait for the delivery, with its retries; then let go of an event that is still there."""
    try:
        delivered = client.flush()
    except KeyboardInterrupt:
        delivered = False
    with _hushed():  # what it would say of an event that is left is said here, and better
        client.close(timeout=0)
    return delivered


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep the library from logging."""
    logger = logging.getLogger("datalyr")
    logger.addFilter(_nothing)
    try:
        yield
    finally:
        logger.removeFilter(_nothing)


def _nothing(_: logging.LogRecord) -> bool:
    return False


def _told(client: Datalyr, answer: Reply | TransportError | None) -> dict[str, Any]:
    """Say what the ingest said, for programs."""
    if isinstance(answer, Reply):
        return {"status": answer.status, "answer": client.config.without_key(answer.text)}
    error = "stopped before an answer came" if answer is None else str(answer)
    return {"status": None, "error": client.config.without_key(error)}


def _report(outcome: dict[str, Any], *, as_json: bool) -> int:
    code = 0 if outcome["delivered"] else 1
    if as_json:
        say(encode(outcome).decode())
        return code
    answered = f"the ingest answered {outcome['status']} {outcome.get('answer')}"
    told = outcome.get("error") or answered
    # What a server sends must not reach a terminal as escape sequences.
    told = "".join(letter if letter.isprintable() else "�" for letter in told.strip())
    say(str(outcome["event_id"]))
    if code:
        return fail(f"not delivered: {told}", code)
    say(f"delivered: {told}")
    return code


def _refused(_: str) -> str:
    raise argparse.ArgumentTypeError(KEY)
