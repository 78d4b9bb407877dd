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

from datalyr_core.version import __version__

TYPE_CHECKING = False  # the one of `typing`, which takes a while to import, to type checkers
if TYPE_CHECKING:
    from datalyr_core.client import Datalyr
    from datalyr_core.config import Config
    from datalyr_core.context import current_tracker
    from datalyr_core.delivery.base import Reply, Transport
    from datalyr_core.errors import ConfigurationError, DatalyrError, TransportError
    from datalyr_core.event import DropReason, Event
    from datalyr_core.stats import Stats
    from datalyr_core.tracker import Tracker
else:
    # A plugin, or a module that asks for the current tracker, needs no client yet. Annotations of
    # public functions go through here, too, so that they can be read at any time.
    _HOMES = {
        "Config": "config",
        "ConfigurationError": "errors",
        "Datalyr": "client",
        "DatalyrError": "errors",
        "DropReason": "event",
        "Event": "event",
        "Reply": "delivery.base",
        "Stats": "stats",
        "Tracker": "tracker",
        "Transport": "delivery.base",
        "TransportError": "errors",
        "current_tracker": "context",
    }

    def __getattr__(name):
        """Import a name of this package when it is first asked for."""
        from importlib import import_module
        from importlib.util import find_spec

        if name in _HOMES:
            value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        elif not name.startswith("_") and find_spec(f"{__name__}.{name}"):
            value = import_module(f"{__name__}.{name}")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__():
        """Name what there is, also before it is asked for."""
        return sorted({*globals(), *__all__})


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
