"""Run the demo: `python -m scripts._demo`, in an environment that has everything."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from scripts._demo import check, ports
from scripts._demo.town import Town, opened
from scripts._demo.waiting import DemoError, Stop, Stopped


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    stop = Stop()
    stop.listen()
    default = ports.FREE if options.check else ports.FIXED
    given = {name: getattr(options, name) for name in default}
    wanted = {name: default[name] if port is None else port for name, port in given.items()}
    try:
        with opened(ports.checked(wanted), stop) as town:
            return _check(town, stop) if options.check else _stay(town, stop)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except Stopped:
        print("demo: stopped", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    about = "Run three shops and a page that shows their events as they arrive."
    parser = argparse.ArgumentParser(prog="scripts/demo", description=about)
    parser.add_argument("--check", action="store_true", help="drive them and say what arrived")
    for name, port in ports.FIXED.items():
        text = f"the port of {name} ({port}; with --check a free one)"
        parser.add_argument(f"--{name}", type=_port, metavar="PORT", help=text)
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 (a free one) to 65535")
    return int(text)


def _check(town: Town, stop: Stop) -> int:
    return 0 if check.run(town, stop) else 1


def _stay(town: Town, stop: Stop) -> int:
    print(f"{'inspector':<10} {town.url}   what arrives")
    for child in town.shops.values():
        print(f"{child.name:<10} {child.url}")
    print("\nOpen the inspector, then buy something in each shop: it is one visitor.")
    print("Ctrl+C stops everything.", flush=True)
    try:
        while True:
            stop.check(0.5)
            for child in town.shops.values():
                child.must_live()
    except Stopped:
        print("\nstopping the shops ...", flush=True)
    town.close()
    print(_counts(town), flush=True)
    return 0


def _counts(town: Town) -> str:
    """Say what the inspector has seen, now that no shop can send any more."""
    said = town.events()
    return (
        f"{said['requests']} requests reached the inspector: {said['total']} events accepted, "
        f"{said['duplicates']} of them repeated; {said['violations']} contract violations"
    )


if __name__ == "__main__":
    sys.exit(main())
