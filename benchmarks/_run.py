"""A run: how long it takes, the processes that it has started, and the end of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from benchmarks import _peers, _plain
from benchmarks._cores import AWAY, HERE, Cores, on
from benchmarks._machine import machine
from benchmarks._report import Section, met
from benchmarks._signals import interruptible
from benchmarks._workers import Unavailable, Worker

FAST = "datalyr?transport=fast"


class Run(ExitStack):
    """Give a benchmark its workers, and end them after it.

    Attributes:
        quick: Whether it is to be over in a moment, at the price of figures that vary.
    """

    def __init__(self, quick: bool = False) -> None:
        super().__init__()
        self.quick = quick

    def of(self, full: int, quick: int) -> int:
        """Choose a number of rounds, calls or seconds."""
        return quick if self.quick else full

    def worker(self, program: str, *arguments: Any, cores: Cores = HERE) -> Worker:
        """Start a program of ours."""
        with on(cores):
            return self.enter_context(Worker(program, *map(str, arguments)))

    def peer(self, peer: str, program: str, *arguments: Any) -> Worker:
        """Start a program in the peers' environment."""
        with on(HERE):
            made = _peers.worker(program, *map(str, arguments), peer=peer)
        return self.enter_context(made)

    def plain(self, program: str, *arguments: Any) -> Worker:
        """Start a program of ours where nothing is installed that it does not need."""
        with on(HERE):
            made = Worker(program, *map(str, arguments), python=_plain.python())
        return self.enter_context(made)

    def sink(self, delay: float = 0.0) -> int:
        """Start a sink, and return its port."""
        port: int = self.away("sink", delay).ask("port")
        return port

    def away(self, program: str, *arguments: Any) -> Worker:
        """Start what stands for another machine."""
        return self.worker(program, *arguments, cores=AWAY)

    def keep(self, context: Any, cores: Cores = None) -> Any:
        """Enter a context that ends with this run."""
        with on(cores):
            return self.enter_context(context)

    def contestants(self, names: list[str], port: int, skipped: list[str]) -> dict[str, Worker]:
        """Start those that are there; the others are skipped by name."""
        found = {}
        for name in names:
            arguments = ("contestants", name, port)
            try:
                known = name in _peers.PACKAGES
                found[name] = self.peer(name, *arguments) if known else self.worker(*arguments)
            except Unavailable as error:
                skipped.append(f"{_peers.TITLES.get(name, name)} ({error})")
        return found


Benchmark = Callable[[Run], Section]


def measured(benchmark: Benchmark, quick: bool) -> Section:
    """Run one benchmark."""
    with interruptible(), Run(quick) as run:
        return benchmark(run)


def command(benchmark: Benchmark) -> int:
    """Run one benchmark from the shell; the exit status tells whether its goals are met."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a rough figure, soon")
    options = parser.parse_args()
    about = machine()  # the load before there is ours
    section = measured(benchmark, options.quick)
    print(about, section.markdown(), sep="\n")
    return not met([section])
