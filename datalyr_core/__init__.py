"""Datalyr's core: one client per process, one tracker per request.

The four nouns:

- **Tracker**: one visitor in one request. Knows who; never does I/O.
- **Datalyr** (the client): one per process. Takes events in, owns the rest.
- **Outbox**: where accepted events wait (`datalyr_core.outbox`).
- **Transport**: where they go (`datalyr_core.delivery`).

    cookie ─► plugin ─► WebRequest ─► Tracker ─► Datalyr ─► Outbox ─► Sender ─► Transport ─► ingest
              (translate only)       (who)      (accept)   (wait)    (retry, pace)

The request path is: look at a cookie when asked, build a dict, encode it once, append.
"""

from datalyr_core.client import Datalyr
from datalyr_core.config import Config
from datalyr_core.context import current_tracker
from datalyr_core.delivery.base import Reply, Transport
from datalyr_core.errors import ConfigurationError, DatalyrError, TransportError
from datalyr_core.event import DropReason, Event
from datalyr_core.stats import Stats
from datalyr_core.tracker import Tracker
from datalyr_core.version import __version__

__all__ = [
    "Config",
    "ConfigurationError",
    "Datalyr",
    "DatalyrError",
    "DropReason",
    "Event",
    "Reply",
    "Stats",
    "Tracker",
    "Transport",
    "TransportError",
    "__version__",
    "current_tracker",
]
