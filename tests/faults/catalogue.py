"""All rows, in the order of the table."""

from __future__ import annotations

from tests.faults import certificates, connections, names, replies, sequences, statuses
from tests.faults.fault import Fault

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for module in (connections, replies, certificates, statuses, sequences, names)
    for fault in module.FAULTS
}
