"""Projects of users: files in a folder, and a test runner in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

# They take their time to load, and some of them ask for settings.
_PLUGINS = ("asyncio", "cacheprovider", "django", "hypothesispytest", "timeout", "xdist")


@dataclass(frozen=True)
class Outcome:
    """How a test run ended."""

    code: int
    text: str  # all that it wrote

    @property
    def counts(self) -> dict[str, int]:
        """What pytest's last line counts: {"passed": 2}."""
        found = re.findall(r"(\d+) (passed|failed|errors?|skipped|xfailed|warnings?)", self.text)
        return dict(Counter({kind: int(number) for number, kind in found}))


class Project:
    """Write a project and run its tests, as if no test had started them."""

    def __init__(self, folder: Path, host: str) -> None:
        self.folder = folder
        self._host = host

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())

    def pytest(self, *options: str, beside: str = "") -> Outcome:
        """Run pytest with our plugin, and with one other that is named."""
        ini = self.folder / "pytest.ini"
        if not ini.exists():
            ini.write_text("[pytest]\n")
        switches = (f"-pno:{plugin}" for plugin in _PLUGINS if plugin != beside)
        return self.run("-m", "pytest", "-Werror", *switches, *options)

    def run(self, *arguments: str) -> Outcome:
        """Run Python with some arguments in the project's folder."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=170,  # a busy machine is slow, not wrong
            check=False,
        )
        return Outcome(done.returncode, done.stdout)

    def _environment(self) -> dict[str, str]:
        ours = ("PYTEST_", "DJANGO_", "DATALYR_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return {**kept, "DATALYR_API_KEY": "dk_test", "DATALYR_HOST": self._host}
