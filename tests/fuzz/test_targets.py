"""The fuzzer's checks, without the fuzzer: seeds, what was found once, and random inputs."""

from __future__ import annotations

import importlib
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.fuzz.__main__ import CORPUS
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
INPUTS = 2000


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(f"tests.fuzz.targets.{request.param}")


def test_every_seed_and_everything_that_was_ever_found(target: ModuleType) -> None:
    name = target.__name__.rpartition(".")[2]
    found = sorted((CORPUS / name).glob("*"))
    for data in (*target.SEEDS, *(path.read_bytes() for path in found)):
        target.check(data)


@pytest.mark.parametrize("seed", [1, 2])
def test_random_inputs(target: ModuleType, seed: int) -> None:
    for data in inputs(target, random.Random(seed)):
        try:
            target.check(data)
        except BaseException:
            print(f"the input: {data!r}")
            raise


def inputs(target: ModuleType, chance: random.Random) -> Iterator[bytes]:
    """Change seeds at random, and each result again."""
    pool = list(target.SEEDS)
    for _ in range(INPUTS):
        data = bytearray(chance.choice(pool))
        for _ in range(chance.randint(1, 4)):
            at = chance.randint(0, len(data))
            piece = (
                chance.choice(target.WORDS),
                chance.randbytes(chance.randint(1, 4)),
                chance.choice(pool)[: chance.randint(0, 40)],
                b"",
            )
            data[at : at + chance.randint(0, 8)] = chance.choice(piece)
        changed = bytes(data[: target.MAX_LENGTH])
        pool[chance.randrange(len(pool))] = changed
        yield changed


def test_the_fuzzer_tells_how_far_it_came() -> None:
    pytest.importorskip("atheris")
    ended = fuzz("retry_after", "--inputs", "3000")
    assert ended.returncode == 0, ended.stderr
    [line] = [each for each in ended.stdout.splitlines() if each.startswith("retry_after")]
    _, done, _, _, edges, corpus, *findings = line.split()
    assert done == "3,000"
    assert int(edges) > 20
    assert int(corpus) > 5
    assert findings == ["none"]


def test_without_atheris_it_says_how_to_get_it() -> None:
    hidden = "import sys; sys.modules['atheris'] = None; sys.argv[1:] = ['all']; "
    run = "import runpy; runpy.run_module('tests.fuzz', run_name='__main__')"
    ended = subprocess.run(
        [sys.executable, "-c", hidden + run], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "pip install 'datalyr[fuzz]'" in ended.stderr


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
