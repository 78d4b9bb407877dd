"""Why a goal is not met: a sentence for each row, under the row's own name.

The sentence is printed beneath the table only as long as the row is not met.
"""

from __future__ import annotations

REMARKS: dict[str, str] = {}
