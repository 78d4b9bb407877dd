"""A test that fails is run once more if asked for; one that fails twice has failed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts._matrix import __main__ as matrix
from scripts._matrix.legs import Leg
from scripts._matrix.runner import Result, read

ROOT = Path(__file__).parents[2]
GOOD = "def test_good():\n    pass\n"
BAD = "def test_bad():\n    raise AssertionError\n"
SKIPPED = "import pytest\ndef test_skipped():\n    pytest.skip()\n"
FLAKY = """
from pathlib import Path
def test_flaky():
    seen = Path(__file__).with_name("seen")
    before = seen.exists()
    seen.touch()
    assert before
"""
BROKEN = "1 / 0\n"


def run(folder: Path, *sources: str, chance: str = "1") -> tuple[int, str]:
    """Run tests as a leg does, and return how they ended and what was printed."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "leg.json").write_text('{"python": "3.11.7", "distributions": {}}')
    for number, source in enumerate(sources):
        (folder / f"test_{number}.py").write_text(source)
    command = [sys.executable, ROOT / "scripts" / "_second_chance.py", sys.executable, "-m"]
    command += ["pytest", "-o", f"cache_dir={folder / 'cache'}"]
    command += [f"--junit-xml={folder / 'leg.xml'}", folder]
    variables = {"SECOND_CHANCE": chance, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ended = subprocess.run(
        command, cwd=folder, env={**os.environ, **variables}, capture_output=True, check=False
    )
    return ended.returncode, (ended.stdout + ended.stderr).decode()


def result_of(folder: Path) -> Result:
    return read(folder, Result(Leg("leg", "3.11", (), (), ())))


def test_one_that_passes_when_it_is_run_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, printed = run(tmp_path, GOOD, FLAKY, SKIPPED)
    assert (code, printed.count("FAILED"), printed.count("once more")) == (0, 1, 1)
    result = result_of(tmp_path)
    assert (result.passed, result.failed, result.skipped) == (2, 0, 1)
    assert result.good
    assert (result.failures, result.recovered) == ([], ["test_1::test_flaky"])

    monkeypatch.setattr(matrix, "run", lambda *_: result)
    assert matrix.main(["--only", "core-oldest"]) == 0
    assert "passed when it was run once more: test_1::test_flaky" in capsys.readouterr().err


def test_one_that_fails_twice_has_failed(tmp_path: Path) -> None:
    code, printed = run(tmp_path, GOOD, FLAKY, BAD)
    assert (code, printed.count("FAILED")) == (1, 3)
    result = result_of(tmp_path)
    assert (result.passed, result.failed, result.skipped) == (2, 1, 0)
    assert not result.good
    assert (result.failures, result.recovered) == (["test_2::test_bad"], ["test_1::test_flaky"])


def test_nobody_gets_a_second_chance_unasked(tmp_path: Path) -> None:
    assert run(tmp_path, GOOD, FLAKY, chance="")[0] == 1
    result = result_of(tmp_path)
    assert (result.passed, result.failed, result.recovered) == (1, 1, [])


@pytest.mark.parametrize(("sources", "code"), [((GOOD,), 0), ((GOOD, BROKEN), 2), ((), 5)])
def test_what_is_no_matter_of_a_single_test_is_run_once(
    sources: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    ended, printed = run(tmp_path, *sources)
    assert (ended, "once more" in printed) == (code, False)


def test_a_second_run_that_does_not_come_to_its_end_excuses_nobody(tmp_path: Path) -> None:
    dies = FLAKY.replace("assert before", "assert before and __import__('os')._exit(9)")
    assert run(tmp_path, dies)[0] == 9
    assert not result_of(tmp_path).good
