"""What is imported when: nothing before it is needed, and nothing by a thread of the sender's."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

import datalyr_core
from tests.support.engines import both_engines
from tests.support.ingest import DOWN, Answer, IngestServer
from tests.support.scripts import Scripts

# Of the standard library and of others: what takes long, and what only some clients need.
HEAVY = {
    "anyio", "asyncio", "certifi", "difflib", "email.utils", "fastapi", "flask", "django", "h11",
    "httpcore", "httptools", "httpx", "kombu", "multiprocessing", "sqlite3", "ssl", "starlette",
    "unittest", "urllib.request",
}  # fmt: skip
# Of ours: what somebody asks for who needs it.
SPECIAL = {
    "broker", "commands", "doctor", "importing", "inspector", "jobs", "relay", "testing",
    "webhooks", "deferred", "delivery.broker", "delivery.fast", "delivery.http", "outbox.broker",
    "outbox.sqlite",
}  # fmt: skip
OF_THE_CLIENT = {"calls", "client", "config", "encoding", "event", "sender", "tracker"}
MOST = 45  # modules of ours that a client needs, before it is made

# The framework itself, then its plugin.
PLUGINS = {
    "flask": ("flask", "datalyr_flask"),
    "starlette": ("starlette.applications", "datalyr_starlette"),
}


def imported(scripts: Scripts, statement: str, before: str = "") -> set[str]:
    """Return the modules that a statement imports in a process of its own."""
    source = f"""
import sys
{before}
there = set(sys.modules)
{statement}
print(*sorted(set(sys.modules) - there))
"""
    ended = scripts.run(source)
    assert (ended.code, ended.err) == (0, "")
    return set(ended.out.split())


def ours(modules: set[str]) -> set[str]:
    """Return the names, within core, of its modules among some."""
    found = {each.removeprefix("datalyr_core.") for each in modules if each != "datalyr_core"}
    return {each for each in found if f"datalyr_core.{each}" in modules}


def test_the_package_alone_imports_next_to_nothing(scripts: Scripts) -> None:
    assert ours(imported(scripts, "import datalyr_core")) == {"version"}


@pytest.mark.parametrize("name", sorted({*datalyr_core.__all__} - {"Datalyr", "__version__"}))
def test_no_name_of_the_package_but_the_client_brings_the_client(
    scripts: Scripts, name: str
) -> None:
    modules = imported(scripts, f"from datalyr_core import {name}")
    assert not ours(modules) & {"client", "sender"}
    assert not modules & HEAVY


def test_the_client_brings_nothing_that_only_some_need(scripts: Scripts) -> None:
    modules = imported(scripts, "from datalyr_core import Datalyr")
    assert not modules & HEAVY
    assert not ours(modules) & SPECIAL
    assert len(ours(modules)) <= MOST


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_brings_no_client(scripts: Scripts, plugin: str) -> None:
    framework, ours_of_it = PLUGINS[plugin]
    pytest.importorskip(framework)
    modules = imported(scripts, f"import {ours_of_it}", f"import {framework}")
    assert not ours(modules) & (OF_THE_CLIENT | SPECIAL)
    assert not modules & HEAVY - {"anyio", "asyncio"}  # Starlette's own


def test_the_plugin_of_django_brings_no_client(scripts: Scripts) -> None:
    pytest.importorskip("django")
    before = """
from django.conf import settings
settings.configure()
import django
django.setup()
from django.core.handlers import asgi, wsgi
"""
    statement = "import datalyr_django.apps, datalyr_django.middleware"
    modules = imported(scripts, statement, before)
    assert not ours(modules) & (OF_THE_CLIENT | SPECIAL)
    assert not modules & HEAVY
    assert not {name for name in modules if name.startswith(("django.contrib.", "django.db."))}


ANNOTATED = {
    "datalyr_core": "current_tracker",
    "datalyr_django": "get_client",
    "datalyr_flask": "FlaskDatalyr.__init__, datalyr_flask.FlaskDatalyr.init_app",
    "datalyr_starlette": (
        "DatalyrMiddleware.__init__, datalyr_starlette.get_tracker, "
        "datalyr_starlette.DatalyrRequest.datalyr.fget"
    ),
}


@pytest.mark.parametrize("package", ANNOTATED)
def test_annotations_can_be_read_before_anything_is_made(scripts: Scripts, package: str) -> None:
    """Frameworks and containers of dependencies do so, FastAPI among them."""
    if package != "datalyr_core":
        pytest.importorskip(package.removeprefix("datalyr_"))
    source = f"""
import typing, {package}
for each in ({package}.{ANNOTATED[package]},):
    assert typing.get_type_hints(each)
"""
    ended = scripts.run(source)
    assert (ended.code, ended.err) == (0, "")


def test_modules_of_the_package_are_there_as_its_attributes(scripts: Scripts) -> None:
    ended = scripts.run("""
import datalyr_core
assert datalyr_core.errors.ConfigurationError is datalyr_core.ConfigurationError
for name in ("nothing", "_nothing", "__wrapped__"):
    assert not hasattr(datalyr_core, name), name
""")
    assert (ended.code, ended.err) == (0, "")


SENDING = """
import sys, threading

class Watch:
    def __init__(self):
        self.seen = []

    def find_spec(self, name, path=None, target=None):
        self.seen.append((threading.current_thread().name, name))

watch = Watch()
sys.meta_path.insert(0, watch)
from datalyr_core import Datalyr

client = Datalyr.from_env(flush_interval=1, retry_limit=1)
for name in ("First", "Second", "Third"):
    client.track("u", name)
while client.stats.waiting:
    client.flush(5)
client.close(5)
print([each for each in watch.seen if each[0] != "MainThread"])
"""


@both_engines
@pytest.mark.parametrize("outbox", ["memory", "sqlite"])
def test_a_senders_thread_imports_nothing(
    outbox: str, transport: str, scripts: Scripts, ingest: IngestServer, tmp_path: Path
) -> None:
    # A fork in the middle of an import leaves the child with a lock that nobody releases.
    ingest.script.extend([
        DOWN,
        Answer(429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT", "Date": "nonsense"}),
        Answer(400, body="é".encode()),
    ])  # fmt: skip
    where = f"sqlite://{tmp_path / 'outbox.db'}" if outbox == "sqlite" else outbox
    ended = scripts.run(SENDING, outbox=where, transport=transport)
    assert ended.out == "[]\n"


def test_a_senders_thread_imports_nothing_for_a_name_and_tls(scripts: Scripts) -> None:
    authority = pytest.importorskip("trustme").CA()
    from tests.core.test_tls import ingest_of

    certificate = authority.issue_cert("localhost", "127.0.0.1")
    with ingest_of(certificate) as ingest, authority.cert_pem.tempfile() as trusted:
        host = ingest.url.replace("127.0.0.1", "localhost")
        source = f"import os\nos.environ['SSL_CERT_FILE'] = {trusted!r}\n{SENDING}"
        ended = scripts.run(source, host=host)
    assert ended.out == "[]\n"
    assert len(ingest.accepted) == 3


def test_the_package_names_what_it_has_before_it_is_asked_for(scripts: Scripts) -> None:
    assert {*datalyr_core.__all__} <= {*dir(datalyr_core)}
    ended = scripts.run("import datalyr_core; print('Datalyr' in dir(datalyr_core))")
    assert ended.out == "True\n"


def test_what_the_package_has_not_is_an_attribute_error() -> None:
    package: Any = datalyr_core
    with pytest.raises(AttributeError, match=r"module 'datalyr_core' has no attribute 'Nothing'"):
        _ = package.Nothing


def test_all_of_the_package_is_what_its_modules_have() -> None:
    given: dict[str, Any] = {}
    exec("from datalyr_core import *", given)
    for name in {*datalyr_core.__all__} - {"__version__"}:
        home = importlib.import_module(given[name].__module__)
        assert given[name] is getattr(home, name) is getattr(datalyr_core, name)
