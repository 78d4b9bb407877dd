"""Rows of development servers and of the tools that run code of an application."""

from __future__ import annotations

import signal
from functools import partial
from typing import Any

from tests.live.exit_matrix import ends
from tests.live.exit_matrix.ends import Server
from tests.live.exit_matrix.programs import to_its_end
from tests.live.exit_matrix.rows import Row
from tests.live.exit_matrix.servers import signalled
from tests.live.exit_matrix.stage import Ending, Stage

# The modules that a reloading server watches, and that a row may touch: the real ones are
# also those of rows beside it.
WATCHED = {
    "served.py": "from tests.live.apps.flask_app import app\n",
    "manage.py": (
        "import sys, tests.live.apps.django_app\n"
        "from django.core.management import execute_from_command_line\n"
        "execute_from_command_line(sys.argv)\n"
    ),
}
KILLED = "its parent kills the serving process at once, with and without the plugin"
HURRIED = "its parent kills the serving process 0.25 s later, with and without the plugin"

FLASK_RUN = ("-m", "flask", "--app", "served", "run", "--port", "{port}")
RUNSERVER = ("-u", "{folder}/manage.py", "runserver", "127.0.0.1:{port}")


def _reloading(stage: Stage, server: Server, play: Any, **more: Any) -> Ending:
    for name, source in WATCHED.items():
        (stage.folder / name).write_text(source)
    ending: Ending = play(stage, server, **more)
    return ending


def _server_rows(name: str, watched: str, command: tuple[str, ...], still: str) -> list[Row]:
    reloading, alone = Server(command), Server((*command, still))
    more: dict[str, Any] = {"arrangement": f"{name}, reloader", "compared": True}
    with_files = partial(_reloading, server=reloading)
    return [
        Row(
            end="source touched, Ctrl+C",
            play=partial(with_files, play=ends.by_touch, module=watched),
            longest=10,
            **{**more, "compared": False},
        ),
        Row(
            end="Ctrl+C",
            play=partial(with_files, play=ends.by_signal, signum=signal.SIGINT, group=True),
            lossy=HURRIED,
            **more,
        ),
        Row(
            end="SIGTERM",
            play=partial(with_files, play=ends.by_signal, signum=signal.SIGTERM),
            lossy=KILLED,
            **more,
        ),
        *(
            signalled(
                name,
                alone,
                signum,
                play=partial(_reloading, server=alone, play=ends.by_signal, signum=signum),
            )
            for signum in (signal.SIGTERM, signal.SIGINT)
        ),
    ]


def _command(stage: Stage) -> Ending:
    return to_its_end(stage, "-m", "tests.live.apps.manage", "track")


def _failing_command(stage: Stage) -> Ending:
    return to_its_end(stage, "-m", "tests.live.apps.manage", "track", "--fail")


TEST = """
from datalyr_core import Datalyr
from tests.live.apps.ledger import note

def test_live():
    client = Datalyr.from_env()
    for _ in range(200):
        note(client.track("user", "Live"))
"""


def _pytest(stage: Stage) -> Ending:
    file = stage.folder / "test_live.py"
    file.write_text(TEST)
    return to_its_end(stage, "-m", "pytest", "--rootdir", str(stage.folder), "-q", str(file))


ROWS = [
    *_server_rows("Flask's server", "served.py", (*FLASK_RUN, "--debug"), "--no-reload"),
    *_server_rows("Django's server", "manage.py", RUNSERVER, "--noreload"),
    Row(arrangement="management command", end="its end", play=_command),
    Row(arrangement="management command", end="CommandError", play=_failing_command),
    Row(arrangement="pytest", end="end of the run", play=_pytest),
]
