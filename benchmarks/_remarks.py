"""Why a goal is not met: a sentence for each row, under the row's own name.

The sentence is printed beneath the table only as long as the row is not met.
"""

from __future__ import annotations

_CALL = (
    "a tenth of Segment's call is about the floor alone. Above it: consent, cookie and user are "
    "asked for each event, a timestamp is written, an `Event` is made for the hooks, and the "
    "process is asked whether it was forked. Next: no `Event` where there is no hook to see it"
)
_MIDDLEWARE = (
    "a fortieth of PostHog's is less than making one object and calling it costs; what is there "
    "makes a tracker that does nothing until it is asked. Next: make it when it is asked for"
)
_IMPORT = (
    "most of it is the standard library (logging, dataclasses, decimal, re), which a framework "
    "has loaded before; httpx comes with the first client only. Next: fewer, larger modules"
)
_MEMORY = (
    "httpx, httpcore and h11 and the authorities' certificates take nearly all of it. Next: read "
    "the certificates only for https"
)
_PACED = (
    "with an event each millisecond the sender wakes up for each of them, also where nothing is "
    "delivered; that is what costs. Next: let what comes within some milliseconds go together"
)
_P99 = (
    "the sender shares the interpreter with the requests, and on two cores the ingest and the "
    "load's generator share them too; from run to run it moves by more than the goal allows"
)

_THREADS = (
    "each id is drawn from the system, which gives the interpreter away meanwhile: the floor alone "
    "falls to a third with four threads, and does not without the drawing. Next: draw for several "
    "ids at once, where no fork can come in between"
)

REMARKS: dict[str, str] = {
    **{
        f"`request.datalyr.track`, {framework}": _CALL
        for framework in ("Django", "Flask", "Starlette")
    },
    **{
        f"the slowest call of 100, {framework}": (
            "the sender takes the interpreter, of which a call then waits for its turn"
        )
        for framework in ("Django", "Flask", "Starlette")
    },
    **{
        f"a middleware's CPU time, {framework}": _MIDDLEWARE
        for framework in ("Django, WSGI", "Django, ASGI", "Starlette")
    },
    "a middleware's CPU time, Flask": (
        f"{_MIDDLEWARE}. Flask also copies its context, for who asks for the user in a thread"
    ),
    "one event, Datalyr": (
        "httpcore and h11 read and write HTTP in Python, which takes ten times the bare socket "
        "by itself; `transport='fast'` is for who cannot afford it"
    ),
    'one event, Datalyr, `transport="fast"`': (
        "libcurl alone is at twice the bare socket, with five system calls in place of two; the "
        "rest is the queue, the sender's decisions and the call. Next: several events under way "
        "in one thread, by libcurl's multi interface"
    ),
    "`concurrency=10`": "bare sockets come as far on this machine; the rest is the sink's own time",
    "`concurrency=100`": "bare sockets come as far on this machine; a hundred threads share it",
    "`track()`, SQLite": "an insert into the file costs what it costs; the rest has become cheaper",
    "one event, Redis, at 1,000 a second": _PACED,
    "one event, RabbitMQ, at 1,000 a second": _PACED,
    **{
        f"the slowest request of 100, {server}, {arrangement}": _P99
        for arrangement in ("memory", "fast")
        for server in (
            "Flask under gunicorn (gthread)",
            "Django under gunicorn (gthread)",
            "Starlette under uvicorn",
        )
    },
    "`import datalyr_core`": _IMPORT,
    **{
        f"the import of the plugin, after its framework, {framework}": _IMPORT
        for framework in ("Django", "Flask", "Starlette")
    },
    **{
        f"memory added after {events} events, {framework}": _MEMORY
        for framework in ("Django", "Flask", "Starlette")
        for events in ("3,000", "10,000")
    },
    **{
        f"{threads} threads, {clients}": _THREADS
        for threads in (4, 16)
        for clients in ("1 client", f"{threads} clients")
    },
}
