"""Applications of every kind, imported by their name."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from datalyr_core.doctor import applications
from tests.doctor.conftest import Doctor, Told

pytestmark = pytest.mark.usefixtures("own_path")
HOST = "http://127.0.0.1:1/track"
_numbers = itertools.count()

Examine = Callable[..., Told]


@pytest.fixture
def examine(doctor: Doctor, folder: Path) -> Examine:
    """Write an application into a module of its own, and look at it."""

    def look(source: str, attribute: str = ":app") -> Told:
        name = f"shop_{next(_numbers)}"
        (folder / f"{name}.py").write_text(source.replace("<host>", repr(HOST)))
        return doctor("--no-probe", "--app", f"{name}{attribute}")

    return look


FLASK = """
from flask import Flask
from datalyr_flask import FlaskDatalyr
app = Flask(__name__)
app.config.update(DATALYR_API_KEY="dk_flask", DATALYR_HOST=<host>)
"""


def test_flask(examine: Examine) -> None:
    told = examine(FLASK + "FlaskDatalyr(app)")
    ((level, seen),) = told.of("mount")
    assert (level, seen.partition("'")[0]) == ("ok", "FlaskDatalyr on the application ")
    assert told.document["host"] == HOST
    assert told.of("order") == []


def test_flask_out_of_a_factory(examine: Examine) -> None:
    factory = FLASK + "def create_app():\n    FlaskDatalyr(app)\n    return app"
    assert examine(factory, ":create_app()").of("mount")[0][0] == "ok"
    found = examine(factory, ":create_app").one("app")
    assert found["seen"].endswith(":create_app is a function, which no plugin knows")
    assert "module:function()" in found["todo"]


def test_flask_without_datalyr(examine: Examine) -> None:
    told = examine(FLASK)
    assert (told.code, told.document["host"]) == (1, None)
    ((level, seen),) = told.of("mount")
    assert (level, seen.rpartition("'")[2]) == ("error", " has no Datalyr")


COOKIE = FLASK + "app.config['DATALYR_SET_VISITOR_COOKIE'] = True\n"
LATER = "app.after_request(lambda response: response)\n"


def test_flask_with_functions_after_the_cookie(examine: Examine) -> None:
    last = examine(COOKIE + LATER + "FlaskDatalyr(app)")
    assert last.one("order")["level"] == "ok"
    early = COOKIE + "FlaskDatalyr(app)\n" + "app.after_request_funcs[None].insert(0, print)"
    assert examine(early).of("order") == [
        (
            "warning",
            "print may still change the response's caching after the visitor cookie is set",
        )
    ]


def test_flask_with_a_wrong_configuration(examine: Examine) -> None:
    told = examine(FLASK + "app.config['DATALYR_TIMEOUT'] = 'x'\nFlaskDatalyr(app)")
    assert told.one("options")["seen"] == "timeout is 'x'; write a number"
    assert told.document["host"] is None


def test_flask_with_it_twice(examine: Examine) -> None:
    told = examine(FLASK + "FlaskDatalyr(app)\nFlaskDatalyr(app)")
    assert told.code == 1
    assert "is mounted on" in told.one("mount")["seen"]


def test_what_is_said_during_the_import_is_a_finding(examine: Examine) -> None:
    told = examine(FLASK + "app.config['DATALYR_FLUSH_AT'] = 1000\nFlaskDatalyr(app)")
    assert told.of("options") == [
        ("warning", "flush_at=1000 is out of range (1 to 100); 100 is used")
    ]


def test_two_applications_with_a_client_each(examine: Examine) -> None:
    own = FLASK.replace("dk_flask", "dk_flask_twins")
    told = examine(own + "FlaskDatalyr(app)\nother = Flask('o')\nother.config = app.config\n"
                   "FlaskDatalyr(other)")  # fmt: skip
    assert told.one("clients")["seen"] == "this process has 2 clients with the same key"


FASTAPI = """
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount
from datalyr_core import Datalyr
from datalyr_starlette import DatalyrMiddleware
app = FastAPI()
OPTIONS = {"api_key": "dk_fast", "host": <host>}
"""
ADDED = "app.add_middleware(DatalyrMiddleware, **OPTIONS)\n"


def test_fastapi(examine: Examine) -> None:
    told = examine(FASTAPI + ADDED + "app.add_middleware(GZipMiddleware)")
    assert told.of("mount") == [
        (
            "ok",
            "DatalyrMiddleware, number 2 of 2 from the outside; "
            "GZipMiddleware around it cannot use request.datalyr",
        )
    ]
    assert told.document["host"] == HOST


@pytest.mark.parametrize("given", ["client=Datalyr(**OPTIONS)", "Datalyr(**OPTIONS)"])
def test_fastapi_with_a_client(examine: Examine, given: str) -> None:
    told = examine(FASTAPI + f"app.add_middleware(DatalyrMiddleware, {given})")
    assert told.of("mount") == [("ok", "DatalyrMiddleware, number 1 of 1 from the outside")]
    assert told.document["host"] == HOST


def test_fastapi_out_of_the_environment(examine: Examine, doctor: Doctor) -> None:
    doctor.variables(DATALYR_HOST=HOST, DATALYR_FLUSHAT=3)
    told = examine(FASTAPI + "app.add_middleware(DatalyrMiddleware)")
    assert told.document["host"] == HOST
    assert told.of("options") == [("warning", "DATALYR_FLUSHAT is set and means nothing")]


def test_fastapi_with_it_twice(examine: Examine) -> None:
    (first, twice) = examine(FASTAPI + ADDED + ADDED).of("mount")
    assert (first[0], twice[0]) == ("ok", "warning")
    assert twice[1] == "DatalyrMiddleware is there 2 times; the outermost counts"


def test_fastapi_without_it(examine: Examine) -> None:
    told = examine(FASTAPI)
    assert told.of("mount") == [("error", "the FastAPI application has no DatalyrMiddleware")]


def test_fastapi_with_a_wrong_configuration(examine: Examine) -> None:
    told = examine(FASTAPI + "app.add_middleware(DatalyrMiddleware, api_key='dk_1', timeout='x')")
    assert told.one("options")["level"] == "error"
    assert told.one("mount")["level"] == "ok"


def test_a_mounted_application_gets_no_lifespan(examine: Examine) -> None:
    plain = "from starlette.responses import PlainTextResponse as P\n"
    mounting = "outer = Starlette(routes=[Mount('/a', FastAPI()), Mount('/b', app)])"
    told = examine(FASTAPI + plain + ADDED + mounting, ":outer")
    assert told.one("lifespan")["level"] == "warning"
    assert told.document["host"] == HOST


def test_around_an_application(examine: Examine) -> None:
    told = examine(FASTAPI + "app = GZipMiddleware(DatalyrMiddleware(app, **OPTIONS))")
    assert told.of("mount") == [("ok", "around the whole FastAPI application")]
    twice = examine(FASTAPI + ADDED + "app = DatalyrMiddleware(app, **OPTIONS)")
    assert [level for level, _ in twice.of("mount")] == ["ok", "warning"]
    bare = "async def bare(scope, receive, send): ...\n"
    told = examine(FASTAPI + bare + "app = DatalyrMiddleware(bare, **OPTIONS)")
    assert told.of("mount") == [("ok", "around a function")]


@pytest.mark.parametrize(
    ("spec", "seen"),
    [
        ("shop_none", "there is no module 'shop_none' here"),
        ("shop_none.app:app", "there is no module 'shop_none.app' here"),
        (":app", "':app' names no module"),
        (".app", "'.app' names no module"),
    ],
)
def test_a_module_that_is_not_there(doctor: Doctor, spec: str, seen: str) -> None:
    told = doctor("--app", spec)
    assert (told.code, told.of("app")) == (1, [("error", seen)])


def test_an_attribute_that_is_not_there(examine: Examine) -> None:
    assert "has no app or application" in examine("", "").of("app")[0][1]
    assert "has no site.app" in examine("site = 1", ":site.app").of("app")[0][1]


def test_an_attribute_by_its_usual_name(examine: Examine) -> None:
    assert examine(FLASK + "FlaskDatalyr(app)\napplication = app\ndel app", "").of("mount")
    assert examine(FLASK + "FlaskDatalyr(app)\nclass site: shop = app", ":site.shop").of("mount")


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit('no database')", "SystemExit: no database"),
        ("import shop_that_is_not_installed", "ModuleNotFoundError: No module named 'shop_that"),
        ("def app(", "SyntaxError"),
    ],
)
def test_an_application_that_cannot_be_imported(examine: Examine, source: str, seen: str) -> None:
    told = examine(source)
    ((level, text),) = told.of("app")
    assert (told.code, level) == (1, "error")
    assert seen in text
    assert ", line " in text


def test_a_plugin_without_its_framework_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    everyone = len(list(applications.plugins()))
    for name in [name for name in sys.modules if name.startswith("datalyr_flask")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "flask", None)
    assert len(list(applications.plugins())) == everyone - 1
