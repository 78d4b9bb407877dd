"""Checks of the servers' own settings, as far as a folder and the environment show them."""

from __future__ import annotations

import ast
import configparser
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from datalyr_core import uwsgi_threads
from datalyr_core.doctor.findings import Finding, ok, skipped, warning
from datalyr_core.doctor.process import PATCH_FIRST

GUNICORN = "gunicorn.conf.py"
UWSGI = "uwsgi.ini"


def check_servers(folder: Path) -> Iterator[Finding]:
    """Check the configuration files of gunicorn and uWSGI in a folder."""
    yield from check_uwsgi_file(folder / UWSGI)
    yield from check_gunicorn_file(folder / GUNICORN)


def check_uwsgi_file(path: Path) -> Iterator[Finding]:
    """Check that uWSGI is told to run threads."""
    # As uWSGI reads it: options may come twice, have no value, and hold a percent sign.
    parser = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
    try:
        if not parser.read(path, encoding="utf-8") or not parser.has_section("uwsgi"):
            return
    except (configparser.Error, UnicodeDecodeError) as problem:
        yield skipped("uwsgi", f"{path.name} cannot be read: {problem}")
        return
    options = parser["uwsgi"]
    if "threads" in options or uwsgi_threads.turns_on(options.get("enable-threads", False)):
        yield ok("uwsgi", f"{path.name} turns threads on")
    else:
        seen = "does not turn threads on: before uWSGI 2.0.27 events wait for later requests"
        yield warning("uwsgi", f"{path.name} {seen}", f"Start uWSGI with {uwsgi_threads.FLAG}.")


def check_gunicorn_file(path: Path) -> Iterator[Finding]:
    """Check that gunicorn does not import the application before gevent patches."""
    settings = read_gunicorn(path)
    is_gevent = "gevent" in str(settings.get("worker_class", ""))
    if is_gevent and settings.get("preload_app") is True:
        if "patch_all" in path.read_text(encoding="utf-8"):
            yield ok("gevent", f"{path.name} patches before the application is preloaded")
        else:
            yield warning(
                "gevent",
                f"{path.name} preloads the application, before gevent's workers patch",
                PATCH_FIRST,
            )


def read_gunicorn(path: Path) -> dict[str, Any]:
    """Read the settings that gunicorn's file gives as plain values; nothing of it is run.

    Returns:
        The settings; what is computed is there as None.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return {}
    settings: dict[str, Any] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            settings[name] = None
            with suppress(ValueError):
                settings[name] = ast.literal_eval(statement.value)
    return settings


def read_gunicorn_arguments(environ: Mapping[str, str]) -> dict[str, str]:
    """Read the long options that the environment gives to gunicorn."""
    try:
        words = shlex.split(environ.get("GUNICORN_CMD_ARGS", ""))
    except ValueError:  # a quote that does not end
        return {}
    options = {}
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        options[name] = value if equals else "".join(words[index + 1 : index + 2])
    return options
