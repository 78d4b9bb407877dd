"""Run the command `datalyr` as `python -m datalyr_core`."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":  # pragma: no branch - it is for nothing else
    sys.exit(main())
