"""Servers: their files, their workers, and the time that they give a process to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from datalyr_core.doctor import process
from tests.conftest import MakeClient
from tests.doctor.conftest import Doctor


@pytest.fixture
def alone(doctor: Doctor) -> Doctor:
    """The command, where nothing listens."""
    doctor.variables(DATALYR_HOST="http://127.0.0.1:1/track")
    return doctor


def test_a_grace_that_is_told(alone: Doctor) -> None:
    found = alone("--no-probe", "--grace", "60").one("grace")
    assert (found["level"], found["seen"]) == ("ok", "exit_timeout 5 s fits into --grace 60 s")


def test_a_grace_that_is_too_short(alone: Doctor) -> None:
    found = alone("--no-probe", "--grace", "5").one("grace")
    assert found["level"] == "warning"
    assert found["seen"] == "exit_timeout 5 s does not fit into --grace 5 s"
    assert "lower exit_timeout" in found["todo"]


def test_a_close_that_is_longer_than_the_grace(alone: Doctor) -> None:
    found = alone("--no-probe", "--grace", "10").one("grace")
    assert (found["level"], "close_timeout 30 s is longer" in found["seen"]) == ("warning", True)


def test_uvicorns_wait_for_requests_is_a_part_of_the_platforms_grace(alone: Doctor) -> None:
    alone.variables(UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN=26, KUBERNETES_SERVICE_HOST="10.0.0.1")
    found = alone("--no-probe").one("grace")
    assert found["level"] == "warning"
    assert found["seen"].startswith("exit_timeout 5 s after uvicorn's wait of 26 s for requests")
    assert found["seen"].endswith("terminationGracePeriodSeconds, by default 30 s")


@pytest.mark.parametrize(
    ("written", "level", "seconds"),
    [
        ("", "ok", "30"),
        ("workers = 1 + 1\nbind: str = ':80'\ngraceful_timeout = 4", "warning", "4"),
        ("graceful_timeout = 40\na.b = 1", "ok", "40"),
        ("graceful_timeout = int('4')", "skipped", ""),
        ("graceful_timeout = ", "ok", "30"),
    ],
)
def test_gunicorns_file(
    alone: Doctor, folder: Path, written: str, level: str, seconds: str
) -> None:
    (folder / "gunicorn.conf.py").write_text(written)
    found = alone("--no-probe").one("grace")
    assert found["level"] == level
    if seconds:
        assert found["seen"].endswith(f"gunicorn.conf.py's graceful_timeout {seconds} s")


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        ("--workers 2 --graceful-timeout 4", "--graceful-timeout 4 s"),
        ("--graceful-timeout=50 -k gevent", "--graceful-timeout 50 s"),
        ("--graceful-timeout", "graceful_timeout 30 s"),
        ("--graceful-timeout '4", "graceful_timeout 30 s"),
    ],
)
def test_gunicorns_arguments_win_over_its_file(
    alone: Doctor, folder: Path, arguments: str, seen: str
) -> None:
    (folder / "gunicorn.conf.py").touch()
    told = alone("--no-probe", GUNICORN_CMD_ARGS=arguments)
    assert told.one("grace")["seen"].endswith(seen)


@pytest.mark.parametrize(
    ("written", "level"),
    [
        ("worker_class = 'gevent'\npreload_app = True", "warning"),
        (
            "from gevent import monkey\nmonkey.patch_all()\n"
            "worker_class = 'gevent'\npreload_app = True",
            "ok",
        ),
        ("worker_class = 'gevent'", None),
        ("preload_app = True", None),
    ],
)
def test_gunicorn_that_preloads_before_gevent_patches(
    alone: Doctor, folder: Path, written: str, level: str | None
) -> None:
    (folder / "gunicorn.conf.py").write_text(written)
    assert [found for found, _ in alone("--no-probe").of("gevent")] == [level] * bool(level)


@pytest.mark.parametrize(
    ("written", "level"),
    [
        ("[uwsgi]\nmaster = true\nhttp = %(x)\nhttp = :1", "warning"),
        ("[uwsgi]\nenable-threads = false", "warning"),
        ("[uwsgi]\nenable-threads = true", "ok"),
        ("[uwsgi]\nenable-threads", "ok"),
        ("[uwsgi]\nthreads = 2", "ok"),
        ("[other]\nx = 1", None),
        ("no section", "skipped"),
    ],
)
def test_uwsgis_file(alone: Doctor, folder: Path, written: str, level: str | None) -> None:
    (folder / "uwsgi.ini").write_text(written)
    assert [found for found, _ in alone("--no-probe").of("uwsgi")] == [level] * bool(level)


INSIDE = """
import sys
from datalyr_core.doctor import process
for finding in process.check_uwsgi():
    print("FOUND", finding.level, finding.seen, flush=True)
sys.exit()
"""
UWSGI = Path(sys.executable).with_name("uwsgi")
STAND_IN = (
    "import sys, types; sys.modules['uwsgi'] = types.SimpleNamespace(opt={}, version=b'2.0.26')\n"
)


def in_uwsgi(flags: dict[str, bytes | bool]) -> list[str | Path]:
    """Return a command that runs `inside.py` in uWSGI, or with a module of its name."""
    if not UWSGI.exists():  # it has to be built: few have it
        return [sys.executable, "-c", STAND_IN.format(flags) + INSIDE]
    Path("inside.py").write_text("import uwsgi\n" + INSIDE)
    written = [
        f"--{name}={value.decode()}" if isinstance(value, bytes) else f"--{name}"
        for name, value in flags.items()
    ]
    fixed = ["--need-app", "--http-socket=127.0.0.1:0", f"--virtualenv={sys.prefix}"]
    return [UWSGI, *fixed, "--wsgi-file=inside.py", *written]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("flags", "level"),
    [
        # Since 2.0.27, as which it can be built, it runs threads without being told to.
        ({}, "ok" if UWSGI.exists() else "warning"),
        ({"enable-threads": True}, "ok"),
        ({"threads": b"2"}, "ok"),
    ],
)
def test_a_worker_of_uwsgi(flags: dict[str, bytes | bool], level: str) -> None:
    done = subprocess.run(in_uwsgi(flags), capture_output=True, text=True, timeout=50, check=False)
    assert f"FOUND {level} this worker" in done.stdout + done.stderr


PATCHED_FIRST = "from gevent import monkey; monkey.patch_all()\n"
ASK = """
from datalyr_core.doctor import process
PATCH
print([str(finding.level) for finding in process.check_gevent()])
"""


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        (PATCHED_FIRST + ASK.replace("PATCH", ""), "['ok']"),
        (ASK.replace("PATCH", PATCHED_FIRST), "['warning']"),
    ],
)
def test_gevent_in_a_process(program: str, printed: str) -> None:
    pytest.importorskip("gevent")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert done.stdout.strip() == printed


def test_without_gevent_there_is_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "gevent.monkey", raising=False)
    assert list(process.check_gevent()) == []
    pytest.importorskip("gevent.monkey")
    assert list(process.check_gevent()) == []


def test_two_clients_with_the_same_key(make_client: MakeClient, caplog: Any) -> None:
    make_client(api_key="dk_other")
    assert list(process.check_clients()) == []
    clients = [make_client(api_key="dk_twins") for _ in range(2)]
    (found,) = process.check_clients()
    assert (found.check, found.level) == ("clients", "warning")
    assert "2 clients" in found.seen
    assert "dk_twins" not in found.seen
    del clients
