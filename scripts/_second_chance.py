"""Run pytest; with SECOND_CHANCE=1, run the tests that failed once more by themselves.

    python scripts/_second_chance.py python -m pytest …

Both runs are printed, and a test that fails twice has failed. Where the first run writes
`--junit-xml=NAME.xml`, the second writes NAME.again.xml.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

SOME_FAILED = 1  # pytest's word for it; anything else is no matter of a single test
ONLY_THOSE = ("--last-failed", "--last-failed-no-failures", "none")
REPORT = "--junit-xml="


def main(command: Sequence[str]) -> int:
    """Run a command of pytest, twice if need be, and return how the last one ended."""
    code = subprocess.call(command)
    if code != SOME_FAILED or os.environ.get("SECOND_CHANCE") != "1":
        return code
    print("== once more, those that failed", file=sys.stderr, flush=True)
    return subprocess.call([*map(_for_the_second, command), *ONLY_THOSE])


def _for_the_second(argument: str) -> str:
    return f"{argument.removesuffix('.xml')}.again.xml" if argument.startswith(REPORT) else argument


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
