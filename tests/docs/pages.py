"""The blocks of Python in the README and in `docs/`, as they stand there."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^ *```python\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[str]:
    """Return a page's blocks of Python."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [textwrap.dedent(found) for found in _BLOCK.findall(text)]


def check(page: str, block: str) -> None:
    """Compile a block; an `await` may stand outside a function, as in a notebook."""
    compile(block, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


def run(page: str, holding: str, **given: Any) -> dict[str, Any]:
    """Run the block that holds a piece of text, with the names that it takes for granted.

    Returns:
        The names that are there afterwards.
    """
    (block,) = (each for each in blocks(page) if holding in each)
    names = {"__name__": __name__, **given}
    with_key = block.replace("dk_…", "dk_test")
    exec(compile(with_key, page, "exec", dont_inherit=True), names)
    return names
