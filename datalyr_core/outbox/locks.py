"""Locks on files, which the system gives up for whoever holds them when a process ends.

`flock` and not `lockf`: such a lock belongs to the opened file, not to the process. Two
clients or interpreters of one process do not share it, and nothing else that opens or
closes the file takes it away. A forked child has a copy that has to be closed there.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Self

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]  # asked for by `available`

_POLL = 0.005  # seconds


def available() -> bool:
    """Tell whether this system has such locks."""
    return fcntl is not None


class FileLock:
    """Hold the lock of one file, for as long as the object lives or until it is closed."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Take charge of an opened file that is locked."""
        self.path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, path: Path, *, wait: float = 0.0) -> Self | None:
        """Lock a file, which is made if there is none.

        Args:
            path: The file.
            wait: Seconds to wait at most while somebody else holds it.

        Returns:
            The lock; None if somebody else holds it.

        Raises:
            OSError: The file can be neither made nor opened.
        """
        deadline = time.monotonic() + wait
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            lock = cls(path, descriptor)  # closes it, whatever happens
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if lock.is_current():
                    return lock
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    lock.close()
                    return None
                time.sleep(_POLL)
            lock.close()  # and again: its last holder may have removed it meanwhile

    def is_current(self) -> bool:
        """Tell whether the locked file is still the one of its name."""
        return self._descriptor is not None and _is_at(self._descriptor, self.path)

    def remove(self) -> None:
        """Remove the file, and give up the lock."""
        if self.is_current():  # another's, in its place, is not ours to remove
            self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Give up the lock; in a forked child, the copy of the parent's."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


def _is_at(descriptor: int, path: Path) -> bool:
    """Tell whether an opened file is still the one of its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def is_locked(path: Path) -> bool:
    """Tell whether somebody holds the lock of a file, or may; it takes none itself for longer."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except PermissionError:  # another user's: nobody can tell
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
