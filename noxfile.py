"""The version matrix: one session for each leg of `scripts/_matrix/legs.py`.

`nox --list` shows them and `nox --session NAME` runs one; `scripts/matrix` runs many, side by
side if asked, and prints a table.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))

from scripts._matrix import pythons  # noqa: E402 - found only now
from scripts._matrix.legs import LEGS, Leg  # noqa: E402 - found only now

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
REPORTS = Path(os.environ.get("DATALYR_MATRIX_REPORTS", ROOT / ".nox" / "reports"))

# Which distributions are there, asked in the leg's own environment.
VERSIONS = """
import json, platform
from importlib.metadata import distributions
found = {each.metadata["Name"].lower(): each.version for each in distributions()}
print(json.dumps({"python": platform.python_version(), "distributions": found}))
"""


def add(leg: Leg) -> None:
    """Make the session of a leg."""

    def run(session: nox.Session) -> None:
        session.install("--editable", ".", *leg.requires)
        found = json.loads(session.run("python", "-c", VERSIONS, silent=True))
        surplus = sorted(set(leg.lacks) & set(found["distributions"]))
        if surplus:
            session.error(f"{', '.join(surplus)} should not be there, and something needs it")
        REPORTS.mkdir(parents=True, exist_ok=True)
        (REPORTS / f"{leg.name}.json").write_text(json.dumps(found))
        session.run(
            *("python", "scripts/_second_chance.py", "python", "-m", "pytest", "--quiet"),
            *("-o", f"cache_dir={REPORTS / 'caches' / leg.name}"),  # legs run side by side
            f"--junit-xml={REPORTS / leg.name}.xml",
            *(("-k", leg.select) if leg.select else ()),
            *shared(leg),
            *(str(path.relative_to(ROOT)) for path in folders(leg)),
            *session.posargs,
            env={"DATALYR_TESTS_WITHOUT": ",".join(leg.lacks)},
        )

    run.__doc__ = f"{', '.join(leg.shows)}: tests/{', tests/'.join(leg.folders)}"
    nox.session(run, name=leg.name, python=pythons.find(leg.python) or leg.python)


def shared(leg: Leg) -> tuple[str, ...]:
    """Give what makes pytest share a leg's tests out, a file at a time."""
    return ("--numprocesses", str(leg.workers), "--dist", "loadfile") if leg.workers > 1 else ()


def folders(leg: Leg) -> list[Path]:
    """List a leg's folders that exist."""
    return [path for name in leg.folders if (path := ROOT / "tests" / name).is_dir()]


for each in LEGS:
    add(each)
