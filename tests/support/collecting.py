"""Without Python's cyclic collector: what is not in use any more has to go by itself."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collector() -> Iterator[None]:
    """Keep the collector away for a block."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
