"""What having Datalyr costs: `python -m benchmarks.footprint`."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from typing import Any

from benchmarks import _plain
from benchmarks._cores import HERE, on
from benchmarks._report import Goal, Section
from benchmarks._run import Run, command
from benchmarks._turns import by_turns
from benchmarks._workers import ROOT

MIB = 2**20
CORE = 25.0  # milliseconds
PLUGIN = 10.0  # milliseconds
RESIDENT = 12.0  # MiB
WAITING = 1.5  # MiB
PATIENCE = 60  # seconds for an import
_DJANGO = """
from django.conf import settings
settings.configure()
import django
django.setup()
from django.core.handlers import asgi, wsgi
"""
_HANDLER = """
from django.conf import settings
settings.configure({options})
import django
django.setup()
from django.core.handlers import asgi, wsgi
wsgi.WSGIHandler()
"""
# What is imported before the clock starts, and what is then measured.
IMPORTS = {
    "datalyr_core": ("", "import datalyr_core"),
    "Datalyr": ("", "from datalyr_core import Datalyr"),
    "a client": ("", "from datalyr_core import Datalyr; Datalyr('dk_bench')"),
    "httpx": ("", "import httpx"),
    "Django": ("", _DJANGO),
    "Flask": ("", "import flask"),
    "Starlette": ("", "import starlette.applications, starlette.requests, starlette.routing"),
}
PLUGINS = {
    "Django": "import datalyr_django.apps, datalyr_django.middleware",
    "Flask": "import datalyr_flask",
    "Starlette": "import datalyr_starlette",
}
# The same, for an application with its plugin and the client; Django's is told by two.
MOUNTED = {
    "Django": (
        "",
        _HANDLER.format(
            options="INSTALLED_APPS=['datalyr_django'], DATALYR={'API_KEY': 'dk_bench'}, "
            "MIDDLEWARE=['datalyr_django.middleware.DatalyrMiddleware']"
        ),
    ),
    "Flask": (
        "import flask; app = flask.Flask('bench')",
        "from datalyr_flask import FlaskDatalyr; FlaskDatalyr(app, api_key='dk_bench')",
    ),
    "Starlette": (
        IMPORTS["Starlette"][1],
        "from datalyr_starlette import DatalyrMiddleware\n"
        "DatalyrMiddleware(None, api_key='dk_bench')",
    ),
}
TEXT = """\
The time of an `import` in a fresh interpreter, a plugin's after its framework's. The goals are
about that alone, and leave out what comes a moment later: what a client needs, httpx before all,
is imported when `Datalyr` is asked for or the first client is made, which every application does
before it serves. So each of these has a row too: the name, the first client, and a plugin that is
mounted with its client. Then the memory of an application (resident, VmRSS) after as many requests,
one event each, beside the same application without Datalyr; and the memory of a thousand events
that wait. All of it in an environment with Datalyr's own requirements and the frameworks alone
(`.benchmarks/plain`): httpx and httpcore import trio, h2 and rich where they are installed, as a
development environment has them. The sink speaks no TLS; certificates of authorities take one to
two megabytes more."""


def benchmark(run: Run) -> Section:
    section = Section("Imports and memory", TEXT)
    _plain.python()  # it may have to be made
    _imports(run, section)
    _resident(run, section)
    _waiting(run, section)
    return section


def _imports(run: Run, section: Section) -> None:
    variants = {name: partial(_imported, *code) for name, code in IMPORTS.items()}
    for name, statement in PLUGINS.items():
        variants[f"plugin {name}"] = partial(_imported, IMPORTS[name][1], statement)
    for name, code in MOUNTED.items():
        variants[f"mounted {name}"] = partial(_imported, *code)
    variants["bare Django"] = partial(_imported, "", _HANDLER.format(options="MIDDLEWARE=[]"))
    took = by_turns(run.of(15, 5), variants)
    took["mounted Django"] -= took["bare Django"]
    goal = Goal(CORE, absolute=True)
    section.add(
        "`import datalyr_core`", took["datalyr_core"], "ms", "`import httpx`", took["httpx"], goal
    )
    what = "`from datalyr_core import Datalyr`"
    section.add(what, took["Datalyr"], "ms", "`import httpx`", took["httpx"])
    what = "the first client of a process, with its imports"
    section.add(what, took["a client"], "ms", "`import httpx`", took["httpx"])
    for name in PLUGINS:
        what = f"the import of the plugin, after its framework, {name}"
        goal = Goal(PLUGIN, absolute=True)
        section.add(what, took[f"plugin {name}"], "ms", f"the import of {name}", took[name], goal)
        what = f"the plugin, mounted with its client, {name}"
        section.add(what, took[f"mounted {name}"], "ms", f"the import of {name}", took[name])


def _imported(before: str, statement: str) -> float:
    """Return the milliseconds of an import."""
    code = f"{before}\nimport time\nbegun = time.perf_counter()\n{statement}\n"
    code += "print((time.perf_counter() - begun) * 1e3)"
    with on(HERE):
        done = subprocess.run(
            [_plain.python(), "-c", code],
            cwd=ROOT,
            # Compiled once, as it is where it is installed.
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
        )
    return float(done.stdout)


def _resident(run: Run, section: Section) -> None:
    port, requests = run.sink(), run.of(10_000, 3000)
    for name in PLUGINS:
        # A fresh process each time: memory that was taken is hardly ever given back.
        variants = {
            kind: partial(_served, name.lower(), given, requests)
            for kind, given in (("without", 0), ("plugged", port))
        }
        memory = by_turns(run.of(3, 1), variants, warm=False)
        added = (memory["plugged"] - memory["without"]) / MIB
        what = f"memory added after {requests:,} events, {name}"
        beside = f"{name} alone"
        goal = Goal(RESIDENT, absolute=True)
        section.add(what, added, "MiB", beside, memory["without"] / MIB, goal)


def _served(name: str, port: int, requests: int) -> float:
    return _asked("resident", (name, port), "served", requests)


def _waiting(run: Run, section: Section) -> None:
    variants = {
        kind: partial(_asked, "waiting", (), "held", 1000, kind == "traced")
        for kind in ("traced", "resident")
    }
    memory = by_turns(run.of(5, 3), variants, warm=False)
    size = _asked("waiting", (), "size", 1000)
    for kind, how in (("traced", "tracemalloc"), ("resident", "resident")):
        what = f"1,000 waiting events ({how})"
        goal = Goal(WAITING, absolute=True)
        section.add(what, memory[kind] / MIB, "MiB", "their JSON", size / MIB, goal)


def _asked(program: str, arguments: tuple[Any, ...], command: str, *how: Any) -> float:
    """Ask a fresh process."""
    with Run() as run:
        found: float = run.plain(program, *arguments).ask(command, *how)
        return found


if __name__ == "__main__":
    sys.exit(command(benchmark))
