"""`datalyr inspect`: a local ingest with a page that shows what arrives."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from contextlib import suppress
from typing import TYPE_CHECKING

from datalyr_core.commands import fail, say

if TYPE_CHECKING:
    from socket import socket

    from datalyr_core.commands import Commands
    from datalyr_core.inspector.server import Server

SCREENS = ("DISPLAY", "WAYLAND_DISPLAY")


def add_parser(commands: Commands) -> None:
    """Add the sub-command."""
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
        from datalyr_core.inspector import app, server, store
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        return fail(f"{missing} is missing: pip install 'datalyr[inspector]'", 2)
    try:
        listener = server.listen(options.host, options.port)
    except server.ListenError as error:
        return fail(str(error), 1)
    application = app.create_app(options.host, store.Store(options.max_events))
    with listener:
        url = server.base_url(listener)
        _greet(url)
        _open(url, wanted=not options.no_open)
        return _serve(server.make_server(application), listener)


def _greet(url: str) -> None:
    say(f"Datalyr inspector  {url}  (Ctrl+C stops it)")
    say(f'Point an SDK at it: Datalyr("dk_test", host="{url}/track")')
    if not url.startswith(("http://127.", "http://[::1]")):
        say("Whoever can reach this address can read what arrives.", sys.stderr)


def _open(url: str, *, wanted: bool) -> None:
    # Without a screen, `webbrowser` would start a text browser in this very terminal.
    has_screen = sys.platform != "linux" or any(map(os.environ.get, SCREENS))
    if wanted and has_screen and sys.stdout.isatty():
        webbrowser.open(url)


def _serve(server: Server, listener: socket) -> int:
    with suppress(KeyboardInterrupt):  # Ctrl+C is how it is meant to stop.
        server.run([listener])
    return 0


def _port(text: str) -> int:
    if not (text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)


def _positive(text: str) -> int:
    if not (text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
