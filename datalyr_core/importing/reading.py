"""Reading: rows out of JSON lines or CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from datalyr_core.importing.rows import Halt, Refused, Row
from datalyr_core.importing.source import MAX_LINE, Line, Source

_SUFFIXES = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
csv.field_size_limit(MAX_LINE)


def form_of(source: Source) -> str:
    """Tell what a source holds, by its name and failing that by how it begins.

    Returns:
        `jsonl` or `csv`.

    Raises:
        Halt: It is one JSON array, or cannot be read.
    """
    beginning = source.beginning()
    if beginning.startswith(b"["):
        raise Halt(f"{source.name} is one JSON array; write an object a line (jq -c '.[]' does)")
    name = source.name.lower().removesuffix(".gz")
    named = next((form for suffix, form in _SUFFIXES.items() if name.endswith(suffix)), None)
    return named or ("jsonl" if beginning.startswith(b"{") else "csv")


def json_rows(source: Source) -> Iterator[Row]:
    """Read rows out of JSON lines.

    Raises:
        Halt: The rest cannot be read.
    """
    number = 0
    for line in source.lines():
        if line.raw.strip():
            number += 1
            load = partial(_object, line)
            yield Row(number, line.number, line.number, line.raw, line.mark, load)


class CsvRows:
    """Read rows out of CSV with a header.

    Attributes:
        header: The names of the columns.
        head: The header as the file has it.
    """

    def __init__(self, source: Source, delimiter: str) -> None:
        """Read the header.

        Raises:
            Halt: There is none, or one that cannot be used.
        """
        self._feed = _Feed(source.lines())
        self._reader = csv.reader(self._feed, delimiter=delimiter)
        self.header, problem = self._next_filled() or ([], None)
        self.head = self._feed.taken()
        if problem or not self.header:
            raise Halt(f"{source.name} has no header line: {problem or 'it is empty'}")
        twice = {name for name in self.header if self.header.count(name) > 1}
        if twice:
            raise Halt(f"{source.name} has more than one column {min(twice)!r}")

    def __iter__(self) -> Iterator[Row]:
        """Return the rows, in order."""
        number = 0
        while (found := self._next_filled()) is not None:
            number += 1
            first, last = self._feed.lines[0], self._feed.lines[-1]
            load = partial(self._values, *found)
            yield Row(number, first.number, last.number, self._feed.taken(), last.mark, load)

    def _next_filled(self) -> tuple[Sequence[str], str | None] | None:
        """Return the cells of the next row that is not blank, and what is wrong with them."""
        while True:
            self._feed.lines.clear()
            try:
                cells, problem = next(self._reader), None
            except StopIteration:
                return None
            except csv.Error as error:
                return [], str(error)
            if any(line.too_long for line in self._feed.lines):
                return cells, _too_long()
            if cells:
                return cells, problem

    def _values(self, cells: Sequence[str], problem: str | None) -> Mapping[str, Any]:
        if problem:
            raise Refused(problem)
        if len(cells) != len(self.header):
            raise Refused(f"values do not fit the header: {len(cells)} for {len(self.header)}")
        if not all(map(_is_text, cells)):
            raise Refused("the line is not UTF-8")
        return dict(zip(self.header, cells, strict=True))


class _Feed:
    """Feed lines to a CSV reader, and remember which ones a row was made of."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._source = iter(lines)
        self.lines: list[Line] = []

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line = next(self._source)
        self.lines.append(line)
        return "\n" if line.too_long else line.raw.decode("utf-8", "surrogateescape")

    def taken(self) -> bytes:
        return b"".join(line.raw for line in self.lines)


def _object(line: Line) -> Mapping[str, Any]:
    if line.too_long:
        raise Refused(_too_long())
    try:
        value = orjson.loads(line.raw)
    except orjson.JSONDecodeError as error:
        raise Refused(f"the line is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise Refused(f"the line is no JSON object, but a {type(value).__name__}")
    return value


def _is_text(cell: str) -> bool:
    try:
        cell.encode()
    except UnicodeEncodeError:
        return False
    return True


def _too_long() -> str:
    return f"the line is longer than {MAX_LINE} bytes"
