"""Celery: `install(app)`, in the module that makes the application.

    app = Celery("shop")
    install(app)

A task that a request queues then has that request's visitor as its `current_tracker()`, and
so has whatever the task queues itself: the rest of a chain, a chord's body, a retry.
Worker processes deliver before they end.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from celery import signals
from celery.app.task import Context

from datalyr_core import current_tracker, lifecycle
from datalyr_core.jobs.carrying import KEY, packed
from datalyr_core.jobs.running import Client, deliver, running

_clients: WeakKeyDictionary[Any, Client] = WeakKeyDictionary()  # by application
_running: WeakKeyDictionary[Any, running] = WeakKeyDictionary()  # by the task's request


def install(app: Any = None, client: Client = None) -> None:
    """Have visitors travel with tasks, and worker processes deliver before they end.

    Calling it again changes the client and nothing else. Celery's signals are those of the
    process, so that one call serves every application in it.

    Args:
        app: The application for whose tasks `client` is used; the current one by default.
        client: The client that tasks use, or a function that returns it, such as
            `datalyr_django.get_client`. By default the one that the worker's process has,
            else one made from the environment's `DATALYR_…` variables.
    """
    if client is not None:
        _clients[_real(app)] = client
    signals.before_task_publish.connect(_pack, dispatch_uid="datalyr")
    signals.task_prerun.connect(_begin, dispatch_uid="datalyr")
    signals.task_postrun.connect(_end, dispatch_uid="datalyr")
    # A prefork child ends by os._exit. The others exit as any program does, but for one that
    # restarts at SIGHUP: it becomes another program before `atexit` comes to us.
    signals.worker_process_shutdown.connect(_finish, dispatch_uid="datalyr")
    signals.worker_shutdown.connect(_deliver, dispatch_uid="datalyr")


def _real(app: Any) -> Any:
    """Return an application that can be referred to weakly; a proxy cannot."""
    from celery import current_app

    app = current_app if app is None else app
    return app._get_current_object() if hasattr(app, "_get_current_object") else app


def _pack(headers: Any = None, **_: object) -> None:
    """Add the visitor to a message.

    Only headers within the header named `headers` reach `task.request.headers` in every
    version of Celery. With that header there Celery shows a task no others, so it gets those
    that the application has given too, as Celery itself would find them.
    """
    tracker = current_tracker()
    if tracker is not None and headers is not None:
        headers["headers"] = {**(Context(headers).headers or {}), KEY: packed(tracker)}


def _begin(task: Any = None, **_: object) -> None:
    """Begin a task, with the visitor who came with it or with none."""
    request = task.request
    if not request.is_eager:  # an eager one runs in the request itself, and keeps its tracker
        job = _running[request] = running(_told(request.headers), _clients.get(task.app))
        job.__enter__()


def _told(headers: Any) -> object:
    """Find what came with a task; protocol 1 shows it all headers, and so the nested ones too."""
    headers = headers or {}
    inner = headers.get("headers")
    return headers.get(KEY) or (inner.get(KEY) if isinstance(inner, dict) else None)


def _end(task: Any = None, **_: object) -> None:
    job = _running.pop(task.request, None)
    if job is not None:
        job.__exit__()


def _finish(**_: object) -> None:
    lifecycle.finish_all()


def _deliver(**_: object) -> None:
    deliver()
    lifecycle.finish_first()  # threads of a pool may still be at a task
