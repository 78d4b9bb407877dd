"""All benchmarks in one run: `python -m benchmarks [--quick] [--write FILE] [NAME …]`.

The exit status tells whether all goals are met.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path

from benchmarks._machine import machine
from benchmarks._report import Section, met
from benchmarks._run import measured

NAMES = (
    *("track", "quiet", "delivery", "outbox", "broker_cpu", "round_trip"),
    *("application", "footprint", "scaling", "importing"),
)
INTRODUCTION = """\
# Benchmarks

`python -m benchmarks` measures everything on this page in one run, and
`python -m benchmarks --write docs/benchmarks.md` writes the page. `--quick` takes a fraction of the
time, for figures that vary; names run a part: `python -m benchmarks track quiet`, or
`python -m benchmarks.track`. It needs `pip install 'datalyr[test]'` and a checkout. Other products'
clients are installed into `.benchmarks/peers`, an environment of their own; what cannot be
installed, or is not there, is skipped by name. All load stays on this machine.

Every figure stands beside another one of the same run: an absolute time is of this machine and of
that hour, and it is the ratio that counts. Figures are medians of several rounds, in which what is
compared takes turns. What stands for another machine (a sink, a broker, the load's generator) has
a core to itself, and what is measured has the rest, unless a section says why not: one core may be
slower than another, and a send that stays on a core costs a third. A goal is about the ratio,
unless it names a unit. The tests hold the same costs, counted in place of timed, to their bounds
(`tests/benchmarks`).
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="rough figures, soon")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page there")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    about = [machine()]  # the load before there is ours
    if options.quick:
        about.append("These are the rough figures of `--quick`.\n")
    sections: list[Section] = []
    for name in options.names or NAMES:
        begun = time.monotonic()
        benchmark = import_module(f"benchmarks.{name}").benchmark
        sections.append(measured(benchmark, options.quick))
        print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    page = "\n".join([INTRODUCTION, *about, *(section.markdown() for section in sections)])
    if options.write:
        options.write.write_text(page, encoding="utf-8")
    else:
        print(page)
    return not met(sections)


if __name__ == "__main__":
    sys.exit(main())
