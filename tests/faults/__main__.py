"""Print what every fault does: `python -m tests.faults [--only TEXT] [--jobs N]`."""

from __future__ import annotations

import argparse
import os
import platform
import sys

from tests.faults import table
from tests.faults.catalogue import FAULTS
from tests.faults.fault import misses
from tests.faults.outages import OUTAGES
from tests.faults.running import run


def main() -> int:
    """Run the rows that are asked for; the exit status says whether all is as it has to be."""
    told = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    told.add_argument("--only", metavar="TEXT", default="", help="rows whose name has this text")
    told.add_argument("--jobs", metavar="N", type=int, default=1, help="rows at a time")
    options = told.parse_args()

    faults = [fault for name, fault in FAULTS.items() if options.only in name]
    outages = [outage for name, outage in OUTAGES.items() if options.only in name]
    if not faults + outages:
        told.error(f"no row has {options.only!r} in its name")
    print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores")
    amiss = False
    if faults:
        print(f"\n{table.head()}")
    for fault, found in zip(faults, run(faults, max(options.jobs, 1)), strict=True):
        amiss |= bool(not found.skipped and misses(fault.goal, found))
        print(table.row(fault.goal, found), flush=True)
    if outages:
        print(f"\nOn a simulated clock:\n\n{table.outage_head()}")
    for outage in outages:
        passed = outage.run()
        amiss |= bool(outage.misses(passed))
        print(table.outage_row(outage, passed), flush=True)
    return int(amiss)


if __name__ == "__main__":
    sys.exit(main())
