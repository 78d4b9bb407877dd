"""The applications that a soak puts under load.

This module is imported before them and before Datalyr: from here on the wall clock is the
plan's.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.live.soak import clock

USER_HEADER = "X-Soak-User"  # whom the server has authenticated

if "SOAK_CLOCK" in os.environ:  # a module of this package may be imported elsewhere
    clock.follow(Path(os.environ["SOAK_CLOCK"]))
