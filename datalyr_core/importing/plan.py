"""The plan: what the command line asks for, and the parts that it takes to do it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from datalyr_core.client import Datalyr
from datalyr_core.config import Config
from datalyr_core.importing.carrier import Carrier
from datalyr_core.importing.ledger import Ledger
from datalyr_core.importing.mapping import Columns
from datalyr_core.importing.progress import Progress
from datalyr_core.importing.reading import CsvRows, form_of, json_rows
from datalyr_core.importing.rejects import Rejects
from datalyr_core.importing.rows import Halt, Refused, Row
from datalyr_core.importing.run import End, Run
from datalyr_core.importing.source import STDIN, Source
from datalyr_core.importing.state import State

QUEUE = 100  # the smallest: what waits in it is what a crash leaves undelivered


@dataclass(frozen=True)
class Plan:
    """Hold what is to be imported, and how.

    Attributes:
        file: A path, or `-` for standard input.
        columns: Where the fields of an event are.
        form: `jsonl`, `csv`, or None to tell by the file.
        delimiter: What stands between the cells of CSV.
        rate: Events a second at most.
        state: Where the state is kept; beside the file by default.
        rejects: Where rejected rows go, if anywhere.
    """

    file: str
    columns: Columns = field(default_factory=Columns)
    form: str | None = None
    delimiter: str = ","
    rate: float | None = None
    state: str | None = None
    rejects: str | None = None

    @property
    def state_path(self) -> Path | None:
        """Return where the state is kept; nowhere for what cannot be read again."""
        return None if self.file == STDIN else Path(self.state or f"{self.file}.import.json")


@dataclass
class Tally:
    """Count what became of rows.

    Attributes:
        end: How the run ended.
        good: How many rows were delivered, or would be.
        rejected: How many were not.
        reasons: How many were not, by reason.
        examples: Some of them, by line.
        begun: How many rows this run has looked at.
        halted: Why the ingest takes nothing, if it does not.
    """

    end: End
    good: int = 0
    rejected: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    examples: Sequence[tuple[int, str]] = ()
    begun: int = 0
    halted: str | None = None


def try_out(plan: Plan, stream: TextIO) -> Tally:
    """Read and check every row, and send nothing; Ctrl+C ends it with what it knows.

    Raises:
        Halt: The file cannot be imported at all.
    """
    state = State()
    ledger = Ledger(state, None, Rejects())
    good, end = 0, End.COMPLETE
    with Source(plan.file) as source:
        progress = Progress(stream, source.size)
        rows, _ = _rows(plan, source)
        try:
            for row in rows:
                good += _is_good(row, plan.columns, ledger)
                if row.number % 5000 == 0:
                    progress.draw(row.number, source.position if source.size else 0)
        except Halt as problem:
            ledger.halt(str(problem))
            end = End.HALTED
        except KeyboardInterrupt:
            end = End.INTERRUPTED
        progress.erase()
    told = state.reasons, ledger.examples, good + state.rejected, ledger.halted
    return Tally(end, good, state.rejected, *told)


def carry_out(
    plan: Plan, config: Config, stream: TextIO, interruptions: Callable[[], int]
) -> Tally:
    """Deliver every row, from where an earlier run came to.

    Raises:
        Halt: The file, the state or a setting does not allow it.
    """
    with ExitStack() as stack:
        state = _state(plan)
        source = stack.enter_context(Source(plan.file))
        rows, head = _rows(plan, source)
        rejects = _rejects(plan, state, head)
        stack.callback(rejects.close)
        ledger = Ledger(state, plan.state_path, rejects)
        ledger.save(sync=True)  # also to learn now whether it can be written
        client = stack.enter_context(_client(config, ledger))
        progress = Progress(stream, source.size)
        position = (lambda: source.position) if source.size else (lambda: 0)
        run = Run(client, ledger, progress, position, interruptions)
        end = run.run(rows, plan.columns, plan.rate)
    return Tally(
        end,
        state.delivered,
        state.rejected,
        state.reasons,
        ledger.examples,
        ledger.begun,
        ledger.halted,
    )


def _is_good(row: Row, columns: Columns, ledger: Ledger) -> bool:
    try:
        columns.event(row)
    except Refused as problem:
        ledger.reject(row, str(problem))
        return False
    return True


def _rows(plan: Plan, source: Source) -> tuple[Iterable[Row], bytes]:
    """Return the rows, and the header as the file has it."""
    if (plan.form or form_of(source)) == "jsonl":
        return json_rows(source), b""
    rows = CsvRows(source, plan.delimiter)
    plan.columns.check(rows.header)
    return rows, rows.head


def _rejects(plan: Plan, state: State, head: bytes) -> Rejects:
    path = plan.rejects and str(Path(plan.rejects).absolute())
    size = state.rejects_size if path and path == state.rejects else None
    rejects = Rejects(path, size=size, head=head)
    state.rejects = path
    return rejects


@contextmanager
def _client(config: Config, ledger: Ledger) -> Iterator[Datalyr]:
    """Make a client that tells the ledger what becomes of events."""
    from datalyr_core.delivery.http import HttpTransport  # heavy, and of no use to a dry run

    transport = HttpTransport(config)
    client = Datalyr(
        config,
        transport=Carrier(transport, ledger),
        broker=None,
        outbox="memory",  # the state knows what is left; a second store of it would send it twice
        max_queue_size=QUEUE,
        flush_at=1,
        flush_interval=1,
        exit_timeout=0,  # the run has had its time for what is under way
        on_drop=ledger.on_drop,
    )
    try:
        yield client
    finally:
        client.close(timeout=0)
        transport.close()


def _state(plan: Plan) -> State:
    """Return the state to go on from.

    Raises:
        Halt: It is not the state of this file, read in this way.
    """
    reading = _reading(plan)
    path = plan.state_path
    state = State.load(path) if path else None
    if state is None:
        return State(reading)
    if state.reading != reading:
        raise Halt(
            f"{path} is the state of an import with other --map, --set, --property, --format "
            "or --delimiter; write them as before, or remove it to begin anew"
        )
    if state.mark and _mark_at(plan.file, state.last_line) != state.mark:
        raise Halt(
            f"{plan.file} has changed in the part that was imported before (by {path}); "
            "restore it, or remove the state to import all of it"
        )
    return state


def _reading(plan: Plan) -> str:
    columns = plan.columns
    told = columns.fields, columns.properties, columns.constants, columns.rest
    return json.dumps([*told, plan.form, plan.delimiter], sort_keys=True)


def _mark_at(path: str, number: int) -> str | None:
    with Source(path) as source:
        return next((line.mark for line in source.lines() if line.number == number), None)
