"""The command `datalyr`: one sub-command for each thing that a person does at a shell."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from socket import socket

    from .inspector.server import Server

SCREENS = ("DISPLAY", "WAYLAND_DISPLAY")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Its arguments; those of the process by default.

    Returns:
        The exit code.
    """
    options = _parser().parse_args(argv)
    code: int = options.run(options)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="datalyr", description=__doc__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_inspect(commands)
    return parser


def _add_inspect(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "run a local ingest with a page that shows what arrives"
    parser = commands.add_parser("inspect", help=text, description=text.capitalize())
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=_port, default=8765, help="the port to listen on")
    parser.add_argument("--max-events", type=_positive, default=2000, help="how many to keep")
    parser.add_argument("--no-open", action="store_true", help="do not open a browser")
    parser.set_defaults(run=_inspect)


def _inspect(options: argparse.Namespace) -> int:
    try:
        # Only here: the other commands work without the extra.
        from .inspector import app, server, store
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        return _fail(f"{missing} is missing: pip install 'datalyr[inspector]'", 2)
    try:
        listener = server.listen(options.host, options.port)
    except server.ListenError as error:
        return _fail(str(error), 1)
    application = app.create_app(options.host, store.Store(options.max_events))
    with listener:
        url = server.base_url(listener)
        _greet(url)
        _open(url, wanted=not options.no_open)
        return _serve(server.make_server(application), listener)


def _greet(url: str) -> None:
    _say(f"Datalyr inspector  {url}  (Ctrl+C stops it)", sys.stdout)
    _say(f'Point an SDK at it: Datalyr("dk_test", host="{url}/track")', sys.stdout)
    if not url.startswith(("http://127.", "http://[::1]")):
        _say("Whoever can reach this address can read what arrives.", sys.stderr)


def _open(url: str, *, wanted: bool) -> None:
    # Without a screen, `webbrowser` would start a text browser in this very terminal.
    has_screen = sys.platform != "linux" or any(map(os.environ.get, SCREENS))
    if wanted and has_screen and sys.stdout.isatty():
        webbrowser.open(url)


def _serve(server: Server, listener: socket) -> int:
    with suppress(KeyboardInterrupt):  # Ctrl+C is how it is meant to stop.
        server.run([listener])
    return 0


def _fail(message: str, code: int) -> int:
    _say(f"datalyr: {message}", sys.stderr)
    return code


def _say(message: str, file: TextIO) -> None:
    print(message, file=file, flush=True)


def _port(text: str) -> int:
    if not (text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)


def _positive(text: str) -> int:
    if not (text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
