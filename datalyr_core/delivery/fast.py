"""The ingest over HTTP, by libcurl: a compiled engine, which takes less of the processor."""

from __future__ import annotations

import ctypes
import logging
import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import certifi
import httpx
import pycurl

from datalyr_core.config import Config
from datalyr_core.delivery.base import Reply
from datalyr_core.delivery.http import (
    BODY_TIME,
    KEEP_ALIVE,
    MAX_REPLY,
    Pool,
    Stale,
    named_proxy,
)
from datalyr_core.errors import TransportError
from datalyr_core.warn_once import warn_once

logger = logging.getLogger("datalyr")

_UNSURE = 1.0  # seconds without a request, after which a connection is looked at before the next
_SUPPRESS_CONNECT_HEADERS = 265  # which pycurl has no name for
_REFUSE, _ABORT = 1, 1
# What using a connection ends with that the server has closed meanwhile.
_BROKEN = {pycurl.E_GOT_NOTHING, pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR}


# Handles that make a connection over TLS, or use one for the first time. A child that is forked
# at that moment has locks of OpenSSL's that nobody releases; there the handle stays here.
_securing: set[_Handle] = set()


class FastEngine:
    """Post through libcurl, in the thread that sends, or through httpx where that cannot be.

    Each request looks: gevent may patch after an application has been imported.
    """

    def __init__(self, url: httpx.URL, headers: dict[str, str], config: Config) -> None:
        """Read the environment: what is wrong there is to be known now."""
        # Here, in the main thread, and not when it is needed. It checks the environment, too.
        self._spare = Pool(url, headers, config)
        self._settings = _settings(url, headers)
        self._most = config.concurrency
        self._idle: deque[_Handle] = deque()  # the one that was in use last is the next
        self._handles: set[_Handle] = set()  # those in use as well
        self._ending = _Ending()

    def post(self, body: bytes, end: float, *, again: bool = False) -> Reply:
        """Post one body; see `Engine`."""
        if why := _why_not():
            warn_once(logger, f"transport='fast' does not work {why}; events go out through httpx")
            return self._spare.post(body, end, again=again)
        handle = self._taken()
        try:
            return handle.post(body, end, anew=again)
        finally:
            self._give_back(handle)

    def close(self) -> None:
        """End what is under way, and send nothing more."""
        self._ending.closed = True
        self._spare.close()
        for handle in list(self._handles):
            handle.end()
        self._let_go_of_idle()

    def _taken(self) -> _Handle:
        try:
            return self._idle.pop()
        except IndexError:
            handle = _Handle(self._settings, self._ending)
            self._handles.add(handle)
            return handle

    def _give_back(self, handle: _Handle) -> None:
        """Keep a handle for the next request, and let go of those that nobody uses."""
        if len(self._idle) < self._most:
            self._idle.append(handle)
        else:
            self._let_go_of(handle)
        if len(self._idle) > 1:
            with suppress(IndexError):  # other threads may have taken them
                while self._idle[0].used < handle.used - KEEP_ALIVE:
                    self._let_go_of(self._idle.popleft())
        if self._ending.closed:  # meanwhile
            self._let_go_of_idle()

    def _let_go_of_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self._let_go_of(self._idle.pop())

    def _let_go_of(self, handle: _Handle) -> None:
        self._handles.discard(handle)
        handle.close()


def _why_not() -> str:
    """Say where libcurl cannot be used, if that is here."""
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        return "under gevent, where each request would stop all greenlets"
    if _securing and any(handle.is_inherited() for handle in tuple(_securing)):
        return "in a process that was forked while a connection was made over TLS"
    return ""


@dataclass
class _Ending:
    """Tell all handles of an engine whether it is closed."""

    closed: bool = False


class _Handle:
    """Post through a handle of libcurl, which keeps a connection. One thread at a time does so.

    Attributes:
        used: When it was used last, on the monotonic clock.
    """

    def __init__(self, settings: dict[int, Any], ending: _Ending) -> None:
        self.used = 0.0
        self._ending = ending
        self._secure = settings[pycurl.URL].startswith(b"https")
        self._process = os.getpid()
        self._head: list[bytes] = []
        self._body: list[bytes] = []
        self._body_end = 0.0  # when to read no more of it; 0.0 before there is any
        # Twins of the sockets that libcurl has: their numbers stay theirs while they are here.
        self._sockets: list[socket.socket] = []
        # Held while they are told to end or are closed. Re-entrant: a finalizer may close the
        # client.
        self._at_sockets = threading.RLock()
        # Whether this request is to use the connection of the last one, and no other; and
        # whether libcurl wanted another nevertheless.
        self._kept = self._refused = False
        self._fresh = False  # what libcurl was told of that
        self._curl = pycurl.Curl()
        # A reference of nobody's, which only `close` gives back: a forked child must never free
        # it. That would say goodbye, as TLS does, on a connection of the parent's, and wait for
        # threads of libcurl's that no fork survives. The garbage collector asks no `__del__`.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._curl))
        for option, value in settings.items():
            self._curl.setopt(option, value)
        # Functions of C where they are called for each part of a reply.
        self._curl.setopt(pycurl.HEADERFUNCTION, self._head.append)
        self._curl.setopt(pycurl.WRITEFUNCTION, self._body.append)
        self._curl.setopt(pycurl.SOCKOPTFUNCTION, self._connecting)
        self._curl.setopt(pycurl.XFERINFOFUNCTION, self._under_way)

    def post(self, body: bytes, end: float, *, anew: bool) -> Reply:
        """Post one body.

        Args:
            body: The body.
            end: When the answer must be there, on the monotonic clock.
            anew: Use a new connection.
        """
        curl, now = self._curl, time.monotonic()
        self._kept = self._kept and not anew and self._lives(now)
        self._head.clear()
        self._body.clear()
        self._body_end = 0.0
        self._refused = False
        curl.setopt(pycurl.POSTFIELDS, body)
        curl.setopt(pycurl.TIMEOUT_MS, max(int((end - now) * 1000), 1))  # 0 is none
        if not self._kept or self._fresh:
            self._fresh = not self._kept
            curl.setopt(pycurl.FRESH_CONNECT, self._fresh)
            if self._fresh and self._secure:
                _securing.add(self)
        problem = None
        try:
            curl.perform()
        except pycurl.error as error:
            problem = self._problem(*error.args)
        finally:
            _securing.discard(self)
        answered = self._body_end or self._is_answered()
        self._settle()
        # A reply that breaks off has told its status: an event that was taken is not sent again.
        if not answered:
            raise problem or TransportError("the answer broke off in its headers")
        status = curl.getinfo(pycurl.RESPONSE_CODE)
        text = b"".join(self._body)[:MAX_REPLY].decode("utf-8", "replace")
        return Reply(status, _Headers(self._head.copy()), text)

    def end(self) -> None:
        """End what is under way; any thread may call it."""
        with self._at_sockets:
            for twin in self._sockets:
                with suppress(OSError):  # it is not connected yet, or not any more
                    twin.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self._curl.close()
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(self._curl))
        self._drop(self._sockets.copy())

    def is_inherited(self) -> bool:
        """Tell whether it is another process's, which has forked this one."""
        return self._process != os.getpid()

    def _lives(self, now: float) -> bool:
        """Tell whether the kept connection may be used, as far as can be seen from here."""
        idle = now - self.used
        if idle < _UNSURE:
            return True
        if idle > KEEP_ALIVE:
            return False
        try:
            return bool(self._sockets[0].recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _connecting(self, descriptor: int, purpose: int) -> int:
        """Hear of a socket before it is connected.

        libcurl sends again by itself, and over again, when a connection breaks off that it has
        kept. Whether that may be is decided elsewhere: it gets no other connection.
        """
        if self._kept:
            self._refused = True
            return _REFUSE
        twin = socket.socket(fileno=socket.dup(descriptor))
        twin.setblocking(False)  # as libcurl has it
        self._sockets.append(twin)
        return _REFUSE if self._ending.closed else pycurl.SOCKOPT_OK

    def _under_way(self, whole: int, read: int, *sent: int) -> int | None:
        """Hear of progress, at least once in a second; say whether to give up."""
        if self._ending.closed:
            return _ABORT
        if not self._head:
            return None
        if not self._body_end:
            if self._is_answered():
                self._body_end = time.monotonic() + BODY_TIME
            return None
        if read >= MAX_REPLY or time.monotonic() >= self._body_end:
            return _ABORT
        return None

    def _is_answered(self) -> bool:
        """Tell whether the head of an answer is there as a whole, after those of hints to come."""
        whole = False
        for line in reversed(self._head):
            if line.startswith(b"HTTP/"):
                return whole and not line.split(None, 2)[1].startswith(b"1")
            whole = whole or not line.strip()
        return False

    def _problem(self, code: int, said: str) -> Exception:
        """Say why no answer came."""
        if self._ending.closed:
            return TransportError("the client is closed")
        error = TransportError(f"{said} (libcurl {code})"[:500])
        if self._refused or (self._kept and code in _BROKEN and not self._head):
            return Stale(error)
        return error

    def _settle(self) -> None:
        """Note which connection is kept, if any, and let go of the twins of all others."""
        self.used = time.monotonic()
        kept = self._sockets
        if self._curl.getinfo(pycurl.ACTIVESOCKET) < 0:
            kept = []
        elif len(kept) > 1:  # attempts at other addresses, or a connection of before
            port = self._curl.getinfo(pycurl.LOCAL_PORT)
            kept = [twin for twin in kept if _port(twin) == port]
        if len(kept) < len(self._sockets):
            self._drop([twin for twin in self._sockets if twin not in kept])
        self._kept = bool(kept)

    def _drop(self, twins: list[socket.socket]) -> None:
        with self._at_sockets:
            for twin in twins:
                self._sockets.remove(twin)
                twin.close()


class _Headers(Mapping[str, str]):
    """Read the headers of an answer when somebody asks for them: of most answers nobody does."""

    __slots__ = ("_lines", "_read")

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines
        self._read: dict[str, str] | None = None

    def __getitem__(self, name: str) -> str:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return repr(self._all())

    def _all(self) -> dict[str, str]:
        if self._read is None:
            found: dict[str, str] = {}
            in_head = True
            for line in self._lines:
                if line.startswith(b"HTTP/"):  # what came before was a hint
                    found, in_head = {}, True
                elif not line.strip():  # trailers follow, if anything
                    in_head = False
                elif in_head:
                    name, _, value = line.decode("latin-1").partition(":")
                    found[name] = value.strip()
            self._read = found
        return self._read


def _settings(url: httpx.URL, headers: dict[str, str]) -> dict[int, Any]:
    """Return what is the same for all requests."""
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and not folder:
        file = certifi.where()
    authorities = {"CAINFO": file or None, "CAPATH": None if file else folder}
    proxy = named_proxy(url.scheme, url.host) or ""
    if proxy.startswith("socks5:"):  # it looks names up, for libcurl not so
        proxy = proxy.replace("socks5", "socks5h", 1)
    # Without these, libcurl would ask for leave before a large body, and tell a proxy twice.
    silenced = ["Expect:", "Proxy-Connection:"]
    return {
        # httpx does not send user and password either.
        pycurl.URL: b"%b://%b%b" % (url.raw_scheme, url.netloc, url.raw_path),
        pycurl.PATH_AS_IS: True,
        pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
        pycurl.POST: True,
        pycurl.HTTPHEADER: [f"{name}: {value}" for name, value in headers.items()] + silenced,
        pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_2TLS,
        pycurl.FOLLOWLOCATION: False,
        pycurl.PROXY: proxy,  # if it is empty, too: it does not look for others
        pycurl.NOPROXY: "",
        _SUPPRESS_CONNECT_HEADERS: True,
        pycurl.SSL_VERIFYPEER: True,
        pycurl.SSL_VERIFYHOST: 2,
        pycurl.SSLVERSION: pycurl.SSLVERSION_TLSv1_2,
        **{getattr(pycurl, name): value for name, value in authorities.items()},
        **{getattr(pycurl, f"PROXY_{name}"): value for name, value in authorities.items()},
        pycurl.MAXCONNECTS: 1,
        pycurl.NOSIGNAL: True,  # there are threads
        pycurl.NOPROGRESS: False,  # which calls _under_way
    }


def _port(twin: socket.socket) -> int:
    """Return the local port of a socket; 0 if it has none."""
    with suppress(OSError):
        port: int = twin.getsockname()[1]
        return port
    return 0
