"""Django projects as people have them, each in a folder with a manage.py of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.asgi import get_asgi_application
from django.test import override_settings

from datalyr_django import doctor
from tests.doctor.conftest import Told
from tests.support.ingest import IngestServer

MANAGE = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
SETTINGS = """
SECRET_KEY = "x"
ROOT_URLCONF = "project.urls"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "datalyr_django"]
SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"
OURS = "datalyr_django.middleware.DatalyrMiddleware"
MIDDLEWARE = [SESSION, AUTH, OURS]
DATALYR = {"API_KEY": "dk_test", "HOST": %r}
"""
WSGI = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""
ASGI = WSGI.replace("wsgi", "asgi")
OURS_ASGI = ASGI.replace("django.core.asgi", "datalyr_django.asgi")
ROUTER = """
class ProtocolTypeRouter:
    def __init__(self, mapping):
        self.application_mapping = mapping
django = application
application = ProtocolTypeRouter(%s)
"""


class Project:
    """A project in a folder."""

    def __init__(self, folder: Path, host: str) -> None:
        self.folder = folder
        (folder / "project").mkdir()
        (folder / "manage.py").write_text(MANAGE)
        self.write("settings", SETTINGS % host)
        self.write("urls", "urlpatterns = []")
        self.write("wsgi", WSGI)

    def write(self, module: str, text: str) -> None:
        (self.folder / "project" / f"{module}.py").write_text(text)

    def setting(self, text: str) -> None:
        with (self.folder / "project" / "settings.py").open("a") as file:
            file.write(f"{text}\n")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        hidden = ("DJANGO_SETTINGS_MODULE", "PYTHONPATH")
        environ = {name: value for name, value in os.environ.items() if name not in hidden}
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    def told(self, *command: str) -> Told:
        done = self.run(*command, "--json")
        assert "Traceback" not in done.stderr  # the start-up may say something of the options
        return Told(done.returncode, json.loads(done.stdout))

    def manage(self, *arguments: str) -> Told:
        return self.told("manage.py", "datalyr", "doctor", "--no-probe", *arguments)

    def app(self, spec: str) -> Told:
        return self.told("-m", "datalyr_core", "doctor", "--no-probe", "--app", spec)


@pytest.fixture
def project(tmp_path: Path, ingest: IngestServer) -> Project:
    return Project(tmp_path, ingest.url)


def test_all_is_well(project: Project, ingest: IngestServer) -> None:
    done = project.run("manage.py", "datalyr", "doctor", "--grace", "60")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == (
        "ok       mount    DatalyrMiddleware, number 3 of 3; SessionMiddleware, "
        "AuthenticationMiddleware before it cannot use request.datalyr"
    )
    assert lines[1] == "skipped  lifespan the project has no ASGI application"
    assert lines[-1] == "No problem found."
    assert ingest.names == ["datalyr doctor"]


def test_a_project_with_everything_wrong_is_still_looked_at(project: Project) -> None:
    project.setting('MIDDLEWARE = [AUTH]; DATALYR = {"API_KEY": "dk_s cret", "FLUSH_AT": "x"}')
    told = project.manage()
    assert told.code == 1
    assert told.one("key")["level"] == told.one("options")["level"] == "error"
    (check,) = told.of("check")
    assert check[0] == "warning"
    assert check[1].endswith("is in MIDDLEWARE no times. (datalyr.W002)")
    assert "cret" not in str(told.document)


def test_warnings_of_the_stack_and_of_the_options(project: Project) -> None:
    fetch = "django.middleware.cache.FetchFromCacheMiddleware"
    project.setting(f'MIDDLEWARE = [SESSION, "{fetch}", OURS]; DATALYR["FLUSH_AT"] = 1000')
    told = project.manage("--strict")
    assert (told.code, told.document["status"]) == (1, "warning")
    (auth, cache) = told.of("order")
    assert auth[0] == cache[0] == "warning"
    assert auth[1].startswith("django.contrib.auth is installed and its middleware is not")
    assert cache[1].startswith("FetchFromCacheMiddleware is before it")
    assert told.of("options") == [
        ("warning", "flush_at=1000 is out of range (1 to 100); 100 is used")
    ]


def test_a_middleware_without_the_application(project: Project) -> None:
    project.setting("INSTALLED_APPS.remove('datalyr_django'); MIDDLEWARE = [OURS, AUTH, OURS]")
    told = project.app("project.wsgi")
    (missing, place) = told.of("mount")
    assert missing[1].startswith("datalyr_django is not in INSTALLED_APPS")
    assert place == ("ok", "DatalyrMiddleware, number 1 of 3")
    assert told.of("check")[0][1].endswith("is in MIDDLEWARE 2 times. (datalyr.W002)")
    assert told.of("lifespan") == []


def test_an_asgi_application_by_its_name(project: Project) -> None:
    project.write("asgi", OURS_ASGI)
    told = project.app("project.asgi:application")
    assert told.one("lifespan")["level"] == told.one("mount")["level"] == "ok"
    assert told.code == 0


def test_the_command_wants_to_know_what_to_do(project: Project) -> None:
    done = project.run("manage.py", "datalyr")
    assert done.returncode == 2
    assert "COMMAND" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("own_path")
@pytest.mark.parametrize(
    ("written", "named", "level", "seen"),
    [
        (None, False, "skipped", "the project has no ASGI application"),
        (ASGI, False, "skipped", "matters under ASGI alone: Django's own"),
        (ASGI, True, "warning", "Django's own ASGI application answers no lifespan"),
        (OURS_ASGI, False, "ok", "the ASGI application closes the client"),
        (ASGI + ROUTER % "{'http': django}", True, "warning", "passes no lifespan on"),
        (ASGI + ROUTER % "{'lifespan': django}", True, "warning", "Django's own"),
        (OURS_ASGI + ROUTER % "{'lifespan': django}", True, "ok", "closes the client"),
        ("1 / 0", True, "error", "ZeroDivisionError"),
    ],
)
def test_the_asgi_application(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    written: Any,
    named: bool,
    level: str,
    seen: str,
) -> None:
    monkeypatch.syspath_prepend(project.folder)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "project.settings")
    if written:
        project.write("asgi", written)
    changed = {"ASGI_APPLICATION": "project.asgi.application"} if named else {}
    with override_settings(**changed):
        (found,) = doctor.check_asgi()
    assert found.level == level
    assert seen in found.seen


@pytest.mark.parametrize("module", ["", "settings"])
def test_settings_that_are_in_no_package(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", module)
    (found,) = doctor.check_asgi()
    assert found.level == "skipped"


def test_what_is_not_djangos() -> None:
    assert doctor.examine(object()) is None


def test_a_project_without_middleware() -> None:
    app = get_asgi_application()
    with override_settings(MIDDLEWARE=None):
        mount = doctor.examine(app)
    assert mount
    assert [found.check for found in mount.findings] == ["check", "lifespan"]
