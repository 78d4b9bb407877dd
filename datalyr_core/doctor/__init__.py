"""What is wrong with a set-up, and what to do about it.

Each check is a small function that returns findings. A plugin adds its own through the
entry point group `datalyr.doctor`: a function that takes an application and returns a
`Mount`, or None when the application is not one of its framework.
"""

from datalyr_core.doctor.examination import Conditions, examine
from datalyr_core.doctor.findings import Finding, Level, Mount

__all__ = ["Conditions", "Finding", "Level", "Mount", "examine"]
