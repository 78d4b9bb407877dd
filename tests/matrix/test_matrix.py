"""The version matrix itself: what its legs install, and what they leave out."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from scripts._matrix import __main__ as matrix
from scripts._matrix import pythons, requirements
from scripts._matrix.legs import LEGS, Leg
from scripts._matrix.runner import Result
from scripts._matrix.table import table

ROOT = Path(__file__).parents[2]


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    asked = ["a>=1.2,<2", "b[async]>=3.0", "c>=0.40 ; python_version > '3'", "d"]
    assert requirements.oldest(asked)[:2] == ["a==1.2", "b[async]==3.0"]
    assert requirements.oldest(asked)[2].startswith("c==0.40")
    for pin in requirements.oldest(requirements.core()):
        assert "==" in pin


def test_an_extra_holds_what_it_names() -> None:
    test = requirements.extra("test")
    names = [requirements.name_of(each) for each in test]
    assert {"django", "flask", "starlette", "fastapi", "gunicorn", "pytest"} <= set(names)
    assert not any("datalyr" in each for each in test)
    assert "gevent" not in map(requirements.name_of, requirements.without(test, "gevent"))


def test_legs_have_names_of_their_own_and_folders_that_exist() -> None:
    names = [leg.name for leg in LEGS]
    assert len(set(names)) == len(names)
    for leg in LEGS:
        assert any((ROOT / "tests" / folder).is_dir() for folder in leg.folders), leg


def test_every_python_and_framework_is_there() -> None:
    assert {leg.python for leg in LEGS} == {"3.11", "3.12", "3.13", "3.14"}
    for framework in ("django", "flask", "starlette", "fastapi"):
        pinned = [leg for leg in LEGS if leg.name.startswith(framework)]
        assert any("==" in each for leg in pinned for each in leg.requires)
    core = next(leg for leg in LEGS if leg.name == "core-oldest")
    assert {"django", "flask", "starlette", "fastapi"} <= set(core.lacks)
    assert not {requirements.name_of(each) for each in core.requires} & set(core.lacks)


def test_what_a_leg_leaves_out_is_there_otherwise_and_nothing_else_there_needs_it() -> None:
    tested = {requirements.name_of(each) for each in requirements.extra("test")}
    for leg in LEGS:
        if leg.name.startswith("without-"):
            assert set(leg.lacks) <= tested, leg.name
            for each in map(requirements.name_of, leg.requires):
                assert not set(leg.lacks) & {each, *needs_of(each)}, (leg.name, each)


def needs_of(name: str) -> set[str]:
    """What a distribution that is installed needs itself, extras aside."""
    try:
        needs = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return set()
    return {requirements.name_of(each) for each in needs if "extra ==" not in each}


def test_an_interpreter_is_found_by_its_version() -> None:
    version = "{}.{}".format(*sys.version_info)
    path = pythons.find(version)
    assert path
    assert subprocess.check_output([path, "--version"], text=True).startswith(f"Python {version}")
    assert pythons.find("3.3") is None


def test_the_table_names_what_was_not_run() -> None:
    leg = Leg("old", "3.3", ("core",), (), ("httpx",))
    ran = Result(leg, python="3.3.1", versions={"httpx": "0.27.0"}, passed=7, skipped=1, seconds=2)
    missing = Result(leg, "Python 3.3 is not installed here: skipped", missing=True)
    assert [" ".join(line.split()) for line in table([ran, missing])][1:] == [
        "old 3.3.1 httpx 0.27.0 7 0 1 2",
        "old - Python 3.3 is not installed here: skipped - - - 0",
    ]
    assert ran.good
    assert missing.good
    assert not Result(leg, "its environment could not be made").good
    assert not Result(leg, failed=1).good


def test_a_text_that_names_no_leg_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert matrix.main(["--only", "cobol"]) == 2
    assert "no leg has 'cobol' in its name" in capsys.readouterr().out


def test_the_slice_of_every_change_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert matrix.main(["--ci", "--list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == ["core-oldest", "django-oldest", "flask-oldest", "starlette-oldest"]


@pytest.mark.parametrize(
    ("imported", "lacking", "code", "said"),
    [
        ("cobol.web", "cobol", 5, "cobol is left out of this run"),
        ("ninja_cobol", "cobol", 2, "No module named 'ninja_cobol'"),
        ("cobol", "", 2, "No module named 'cobol'"),
    ],
)
def test_only_what_a_leg_leaves_out_excuses_a_module(
    imported: str, lacking: str, code: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text(f"import {imported}\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-ra", "-p", "tests.support.optional"]
    command += ["-p", "no:cacheprovider", "-p", "no:django", str(tmp_path)]
    variables = {"DATALYR_TESTS_WITHOUT": lacking}
    ended = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True
    )
    assert ended.returncode == code, ended.stdout
    assert said in ended.stdout
