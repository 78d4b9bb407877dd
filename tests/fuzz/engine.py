"""Fuzz one target in this process, which ends with it: libFuzzer is like that.

python -m tests.fuzz.engine TARGET [libFuzzer's options] CORPUS
"""

from __future__ import annotations

import importlib
import logging
import sys
from pathlib import Path

import atheris

from tests.fuzz.targets import TARGETS


def fuzz(name: str, arguments: list[str]) -> None:
    """Run a target until libFuzzer has had enough."""
    # Core first, whose branches guide the fuzzer; then the target, which would only cost time.
    with atheris.instrument_imports(include=TARGETS[name]):
        for module in ("email.utils", "urllib.parse", "datalyr_core.importing.reading"):
            importlib.import_module(module)
    target = importlib.import_module(f"tests.fuzz.targets.{name}")
    logging.getLogger("datalyr").setLevel(logging.CRITICAL)  # it warns of what it leaves out
    corpus = Path(arguments[-1])
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.SEEDS):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    words = corpus.with_suffix(".dict")
    words.write_text("".join(f'"{_escaped(each)}"\n' for each in target.WORDS))
    options = [f"-dict={words}", f"-max_len={target.MAX_LENGTH}", "-len_control=0"]
    atheris.Setup([name, *options, *arguments], target.check)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{each:02x}" for each in word)


if __name__ == "__main__":
    fuzz(sys.argv[1], sys.argv[2:])
