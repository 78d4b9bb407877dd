"""The legs: which tests run with which Python and which versions. This is the one place."""

from __future__ import annotations

from dataclasses import dataclass

from scripts._matrix.requirements import core, extra, name_of, named, oldest, without

PYTHONS = ("3.11", "3.12", "3.13", "3.14")

# Folders of tests by what must be installed to make sense of them; one that does not exist is
# left out. The whole suite's legs run every folder, so that a new one is in the matrix at once.
CORE = ("core", "faults", "fuzz", "importing", "outbox", "testing")
CORE_OF_EVERY_CHANGE = ("core", "importing", "testing")  # the others take their time
DJANGO = ("django", "behaviour")
FLASK = ("flask", "behaviour")
STARLETTE = ("starlette", "inspector", "behaviour")
BROKER = ("broker", "relay")
EVERYTHING = ("",)

# `behaviour` has the same tests for every framework: a leg has no use for those of the others.
OWN = {DJANGO: "django", FLASK: "flask", STARLETTE: "starlette or fastapi or inspector", BROKER: ""}

# What the suite is tested with and works without: the folders that may have to do with it.
OPTIONAL = {
    "boto3": ("broker",),
    "celery": ("jobs",),
    "confluent-kafka": ("broker",),
    "django-csp": ("django",),
    "django-ninja": ("django",),
    "djangorestframework": ("django",),
    "fastapi": ("starlette", "behaviour"),
    "fastapi-users": ("starlette",),
    "flask-login": ("flask",),
    "flask-security-too": ("flask",),
    "flask-talisman": ("flask",),
    "gevent": ("core", "outbox"),
    "httptools": ("core",),
    "httpx2": ("core",),
    "opentelemetry-sdk": ("docs",),
    "playwright": ("inspector",),
    "prometheus-client": ("docs",),
    "rq": ("jobs",),
    "socksio": ("core",),
    "sse-starlette": ("starlette",),
    "strawberry-graphql": ("django", "flask", "starlette"),
    "stripe": ("core",),
    "trio": ("core",),
    "trustme": ("core", "faults"),
}

# What goes with one of them, because it needs it.
_GOES_WITH = {"fastapi": ("fastapi-users",), "flask-login": ("flask-security-too",)}

_TOOLS = ("pytest", "pytest-timeout", "hypothesis")
_CORE_TOOLS = named(*_TOOLS, "trio", "trustme")
_TEST = extra("test")


@dataclass(frozen=True)
class Leg:
    """One run of some tests.

    Attributes:
        name: Its name.
        python: The version of Python.
        folders: The folders below `tests` that it runs.
        requires: What is installed beside this checkout.
        shows: The distributions whose versions the table shows.
        lacks: The distributions that are not there.
        ci: Whether it belongs to the slice of every change.
        select: Of the tests there, those that match (pytest's `-k`).
        workers: Processes that share its tests (pytest-xdist): the whole suite mostly waits.
    """

    name: str
    python: str
    folders: tuple[str, ...]
    requires: tuple[str, ...]
    shows: tuple[str, ...]
    lacks: tuple[str, ...] = ()
    ci: bool = False
    select: str = ""
    workers: int = 1


def _core() -> list[Leg]:
    """Core alone: no framework is installed."""
    shows = ("httpx", "httpcore", "anyio", "orjson")
    lacks = tuple(sorted({name_of(each) for each in _TEST} - set(map(name_of, _CORE_TOOLS))))
    old = (*oldest(core()), *_CORE_TOOLS)
    new = (*core(), *_CORE_TOOLS)
    return [
        Leg("core-oldest", "3.11", CORE_OF_EVERY_CHANGE, old, shows, lacks, ci=True),
        *(Leg(f"core-{python}", python, CORE, new, shows, lacks) for python in PYTHONS),
    ]


def _pinned(
    name: str,
    python: str,
    folders: tuple[str, ...],
    *pins: str,
    lacks: tuple[str, ...] = (),
    ci: bool = False,
) -> Leg:
    """Some versions pinned, and everything else as new as it can be."""
    names = tuple(map(name_of, pins))
    requires = (*without(_TEST, *names, *lacks), *pins)
    return Leg(name, python, folders, requires, names, lacks, ci, OWN[folders])


def _frameworks() -> list[Leg]:
    # Starlette 0.40 uses names of python-multipart and anyio that newer ones warn of.
    old_fastapi = oldest(named("fastapi", "python-multipart", "anyio"))
    old_asgi = (*oldest(named("starlette", "uvicorn")), *old_fastapi)
    # They have moved on: none of their versions goes with those, or none without warnings.
    newer = ("fastapi-users",)
    return [
        _pinned("django-oldest", "3.11", DJANGO, *oldest(named("django")), ci=True),
        _pinned("django-5.2", "3.13", DJANGO, "django~=5.2.0"),
        _pinned("django-6.0", "3.12", DJANGO, "django==6.0"),
        _pinned("django-newest", "3.13", DJANGO, *named("django")),
        _pinned(
            "flask-oldest",
            "3.11",
            FLASK,
            *oldest(named("flask")),
            lacks=("flask-security-too",),
            ci=True,
        ),
        _pinned("flask-newest", "3.13", FLASK, *named("flask")),
        _pinned("starlette-oldest", "3.11", STARLETTE, *old_asgi, lacks=newer, ci=True),
        _pinned("fastapi-oldest", "3.12", STARLETTE, "starlette", *old_fastapi, lacks=newer),
        # Celery asks for a kombu that is newer; and this one goes with no redis of today.
        _pinned(
            *("broker-oldest", "3.11", BROKER),
            *oldest(named("kombu", "redis")),
            lacks=("celery",),
        ),
        _pinned("starlette-newest", "3.13", STARLETTE, *named("starlette", "fastapi", "uvicorn")),
    ]


def _whole() -> list[Leg]:
    shows = ("django", "flask", "starlette", "fastapi", "gevent")
    return [
        Leg(f"whole-{each}", each, EVERYTHING, tuple(_TEST), shows, workers=2) for each in PYTHONS
    ]


def _lacking() -> list[Leg]:
    """One optional package less."""
    return [
        Leg(
            name=f"without-{name}",
            python="3.12",
            folders=folders,
            requires=tuple(without(_TEST, name, *_GOES_WITH.get(name, ()))),
            shows=("pytest",),
            lacks=(name, *_GOES_WITH.get(name, ())),
            select="starlette and not fastapi" if name == "fastapi" else "",
        )
        for name, folders in OPTIONAL.items()
    ]


LEGS = (*_core(), *_frameworks(), *_whole(), *_lacking())
