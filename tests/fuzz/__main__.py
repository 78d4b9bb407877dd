"""Fuzz what strangers' bytes reach: the cookie, the encoder, `Retry-After`, imported rows.

    python -m tests.fuzz [TARGET|all] [--inputs N] [--seed N] [--seconds N]

Guided by coverage (atheris: `pip install 'datalyr[fuzz]'`). An input that breaks an invariant
is shown and kept in tests/fuzz/corpus, from where the tests run it ever after.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.targets import TARGETS
from tests.support.signals import interrupt_once

CORPUS = Path(__file__).parent / "corpus"
FOUND, UNUSABLE = 1, 2
_LACKING = """\
atheris is not installed: pip install 'datalyr[fuzz]'
It has wheels for CPython 3.11 to 3.14 on Linux (x86-64), and is built from source elsewhere.
Without it, `pytest tests/fuzz` runs the same checks on random inputs."""
_STATE = re.compile(r"^#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)/", re.MULTILINE)
_DONE = re.compile(r"^stat::number_of_executed_units: (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """Hold what a run came to."""

    name: str
    inputs: int
    seconds: float
    edges: int
    corpus: int
    finding: str

    def __str__(self) -> str:
        """Write a line of the table."""
        rate = self.inputs / self.seconds
        figures = f"{self.inputs:>11,} {self.seconds:>8,.0f} {rate:>9,.0f}"
        return f"{self.name:12}{figures} {self.edges:>6} {self.corpus:>7}  {self.finding}"


def main() -> int:
    """Fuzz the targets that were named, one after the other.

    Returns:
        0 when every invariant held, 1 when one did not, 2 without atheris.
    """
    options = _options()
    if find_spec("atheris") is None:
        print(_LACKING, file=sys.stderr)
        return UNUSABLE
    names = list(TARGETS) if options.target == "all" else [options.target]
    interrupt_once()  # the engine is another process, and is to end with this one
    columns = ("inputs", "seconds", "inputs/s", "edges", "corpus")
    print("target      {:>11} {:>8} {:>9} {:>6} {:>7}  findings".format(*columns), flush=True)
    results = []
    for name in names:
        results.append(fuzz(name, options.inputs, options.seed, options.seconds))
        print(results[-1], flush=True)
    return FOUND if any(each.finding != "none" for each in results) else 0


def fuzz(name: str, inputs: int, seed: int, seconds: int) -> Result:
    """Run one target in a process of its own."""
    kept = CORPUS / name
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "tests.fuzz.engine", name),
                *(f"-runs={inputs}", f"-seed={seed}", f"-max_total_time={seconds}"),
                *("-print_final_stats=1", f"-artifact_prefix={kept}/", f"{folder}/corpus"),
            ],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        passed = time.monotonic() - begun
    done, states = _DONE.search(ended.stderr), _STATE.findall(ended.stderr)
    finding = "none"
    if ended.returncode != 0 or not done:
        finding = "one, see above"
        print(_told(ended.stderr), file=sys.stderr, flush=True)
    _, edges, _, corpus = states[-1] if states else (0, 0, 0, 0)
    return Result(name, int(done[1]) if done else 0, passed, int(edges), int(corpus), finding)


def _told(log: str) -> str:
    """Leave of libFuzzer's log what a person wants to know of a finding."""
    lines = [each for each in log.splitlines() if not each.startswith(("INFO", "#", "WARNING"))]
    return "\n".join(lines[-40:])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("target", nargs="?", choices=[*TARGETS, "all"], default="all")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="for each target")
    parser.add_argument("--seed", type=int, default=1, help="the same one, the same inputs")
    parser.add_argument("--seconds", type=int, default=3600, help="for each target, at most")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
