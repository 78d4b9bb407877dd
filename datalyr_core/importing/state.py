"""The state: which rows of a file are settled, kept beside it so that an import can go on."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datalyr_core.importing.rows import Halt

_VERSION = 1


@dataclass
class State:
    """Hold how far an import came.

    Attributes:
        reading: How rows are read and mapped; another way would make other events of them.
        rows: How many rows were begun.
        unsettled: The numbers of those that were neither delivered nor rejected.
        last_line: On which line the last of them ended.
        mark: The fingerprint of everything up to there.
        delivered: How many rows the ingest took.
        rejected: How many make no event, or the ingest refused.
        reasons: How many were rejected, by reason.
        rejects: The file of rejected rows, if there is one.
        rejects_size: How long the file of rejected rows was, in bytes.
    """

    reading: str = ""
    rows: int = 0
    unsettled: list[int] = field(default_factory=list)
    last_line: int = 0
    mark: str = ""
    delivered: int = 0
    rejected: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    rejects: str | None = None
    rejects_size: int = 0

    def save(self, path: Path, *, sync: bool) -> None:
        """Write the state; a crash leaves the one before or this one, never half of it.

        Args:
            path: The file.
            sync: Whether to wait for the disk, so that a power failure changes nothing either.

        Raises:
            Halt: It cannot be written.
        """
        draft = path.with_name(f"{path.name}.tmp")
        try:
            with draft.open("w", encoding="utf-8") as file:
                json.dump({"version": _VERSION, **vars(self)}, file)
                file.flush()
                if sync:
                    os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            raise Halt(f"cannot write {path}: {error.strerror}") from error

    @classmethod
    def load(cls, path: Path) -> State | None:
        """Read the state of an import that was begun; None if there is none.

        Raises:
            Halt: The file is something else, or cannot be read.
        """
        try:
            told = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Halt(f"cannot read {path}: {error.strerror}") from error
        except ValueError:
            told = None
        if not (isinstance(told, dict) and told.pop("version", None) == _VERSION):
            raise Halt(f"{path} is no state of an import; name another with --state")
        return cls._made(told, path)

    @classmethod
    def _made(cls, told: dict[str, Any], path: Path) -> State:
        blank = vars(cls())
        if told.keys() != blank.keys() or any(
            type(told[name]) is not type(value) and name != "rejects"
            for name, value in blank.items()
        ):
            raise Halt(f"{path} is no whole state of an import; remove it to begin anew")
        return cls(**told)
