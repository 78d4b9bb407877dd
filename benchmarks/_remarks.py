"""Why a goal is not met: a sentence for each row, under the row's own name.

The sentence is printed beneath the table only as long as the row is not met.
"""

from __future__ import annotations

_FIRST = (
    "what a further one costs, and nearly as much again for who the visitor is: consent (headers "
    "and a cookie), the id in the cookie, the user, each asked of the framework's request. Next: "
    "one pass over what a request says, in one function"
)
_CALL = (
    "an id, `dumps` and an append alone take more than half of what a tenth of Segment's call "
    "would be, and a third of the call. Above them: a body that is copied to its length, the "
    "timestamp, an `Event` for the hooks, whether the process was forked "
    "(`getpid`), whether the sender has to be woken. Next: id, timestamp and body in one compiled "
    "function"
)
_COLD = (
    "caches are cold after a pause: hardly any slow call has waited for the interpreter. Next: "
    "fewer modules on the way of an event"
)
_CYCLE = (
    "the request and its tracker refer to each other, as a request and its lazy `request.user` do "
    "with Django's own authentication, and the collector frees both. Next: a tracker that lets go "
    "of its request when the middleware has ended, which would have to answer what is asked later"
)
_MIDDLEWARE = (
    "what is there makes a request of core's and a tracker, which do nothing until they are asked, "
    "and enters and leaves a context variable. With a request that is served again and again it "
    "takes 2 µs; a fresh one is cold. Next: make both when they are asked for"
)
_PACED = (
    "a call that comes after a pause finds cold caches, with no delivery as well, and that is most "
    "of it. Next: a buffer for each thread, which is passed on as a whole"
)
_P99 = (
    "the sender shares the interpreter with the requests; where `none again` differs from `none`, "
    "it is the machine's noise. Next: `transport='fast'`, or a broker and a relay, which take the "
    "sending out of the process"
)
_THREADS = (
    "more threads than cores that hand the interpreter to each other, beside the sender that "
    "wants its share of it; the memory outbox takes events without a lock. Next: free-threaded "
    "Python"
)

REMARKS: dict[str, str] = {
    **{
        f"`request.datalyr.track`, {which}, {framework}": remark
        for which, remark in (("first of a request", _FIRST), ("further ones", _CALL))
        for framework in ("Django", "Flask", "Starlette")
    },
    **{
        f"the slowest call of 100, {framework}": _COLD
        for framework in ("Django", "Flask", "Starlette")
    },
    **{f"a middleware's CPU time, {framework}": _MIDDLEWARE for framework in ("Starlette",)},
    **{
        f"a middleware's CPU time, Django, {chain}": (
            f"{_MIDDLEWARE}. A third of it is the collector's, which frees request and tracker"
        )
        for chain in ("WSGI", "ASGI")
    },
    "a middleware's CPU time, Flask": (
        f"{_MIDDLEWARE}. Flask also copies its context, for who asks for the user in a thread"
    ),
    **{f"memory kept after a request, Django, {chain}": _CYCLE for chain in ("WSGI", "ASGI")},
    "one event, Datalyr": (
        "h11 reads answers in Python; `transport='fast'` is for who cannot afford it"
    ),
    'one event, Datalyr, `transport="fast"`': (
        "a bare socket and llhttp take most of it; a send that waits for its answer costs two "
        "wake-ups each, where batches have them for a hundred events. The rest is the call, the "
        "queue and the sender's decisions. Next: several events under way in one thread, so that "
        "it is woken for several answers at once"
    ),
    "`concurrency=10`": "the sink and the machine, of which bare sockets show the part",
    "`concurrency=100`": "a hundred threads share one interpreter",
    "`track()`, SQLite": (
        "the insert into the file alone takes more than the goal leaves: the memory outbox, beside "
        "which it stands, has become cheaper. Next: one transaction for the events of one moment, "
        "which would lose those of the last one when the process is killed"
    ),
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
    **{
        f"one of {count} events": (
            "a thousand are tracked before the sender gets the interpreter; of more, both want it "
            "at once. It does not grow from ten thousand to a million. Next: free-threaded Python"
        )
        for count in ("10,000", "100,000", "1,000,000")
    },
    **{
        f"{threads} threads, {clients}": _THREADS
        for threads in (4, 16)
        for clients in ("1 client", f"{threads} clients")
    },
}
