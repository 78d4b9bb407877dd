"""A RabbitMQ server of a test's own, on free ports, with nothing outside its own folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import eventually

# Beside the wrapper in /usr/sbin, which becomes the user rabbitmq and so cannot write here.
_COMMANDS = "/usr/lib/rabbitmq/bin"


def rabbitmq_command(name: str = "rabbitmq-server") -> str | None:
    """Find a command of RabbitMQ's; None where it is not installed."""
    found = shutil.which(name, path=f"{_COMMANDS}:{os.environ.get('PATH', '')}")
    return found if shutil.which("epmd") else None


class RabbitMQ:
    """A server that can be killed and started again with what it had on disk."""

    def __init__(self, folder: Path) -> None:
        """Choose its ports; nothing is started yet."""
        self._folder = folder
        self._port, self._epmd_port, between_nodes = _free_ports(3)
        # Of guest and the default virtual host.
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}//"
        self._environment = os.environ | {
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "HOME": str(folder),  # of the cookie
            "RABBITMQ_ALLOW_INPUT": "1",  # the shell becomes the server, so that its id is ours
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none.conf"),
            "RABBITMQ_DIST_PORT": str(between_nodes),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_NODENAME": f"datalyr{self._port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",  # few threads, no spinning
        }
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / "rabbitmq.conf").write_text("loopback_users = none\n")
        self._epmd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        if self._epmd is None:
            # Else the server would start one that outlives it.
            self._epmd = self._begin(str(shutil.which("epmd")), "-relaxed_command_check")
            assert eventually(lambda: _listens(self._epmd_port), 30)
        self._server = self._begin(str(rabbitmq_command()), "-noinput")
        assert eventually(lambda: _ended(self._server) or _answers(self._port), 180)
        assert not _ended(self._server), (self._folder / "output").read_text()

    def kill(self) -> None:
        """End it at once, as a crash does."""
        _end(self._server, signal.SIGKILL)
        self._server = None
        # Helpers of the server have the socket too, and need a moment to notice.
        assert eventually(lambda: not _listens(self._port), 60)

    def pause(self, *, go_on: bool = False) -> None:
        """Stop the server in the middle of whatever it does, or let it go on."""
        assert self._server
        self._server.send_signal(signal.SIGCONT if go_on else signal.SIGSTOP)

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl`, and return what it prints."""
        return subprocess.run(
            [str(rabbitmq_command("rabbitmqctl")), "--quiet", *arguments],
            check=True,
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=120,
        ).stdout

    def close(self) -> None:
        """End everything that was started."""
        self.kill()
        _end(self._epmd, signal.SIGTERM)
        self._epmd = None

    def _begin(self, *command: str) -> subprocess.Popen[bytes]:
        with (self._folder / "output").open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # with the helpers that the server starts
            )


@contextmanager
def rabbitmq_server(folder: Path) -> Iterator[RabbitMQ]:
    """Serve until the end of the block."""
    server = RabbitMQ(folder)
    try:
        server.start()
        yield server
    finally:
        server.close()


def _ended(process: subprocess.Popen[bytes] | None) -> bool:
    return process is None or process.poll() is not None


def _end(process: subprocess.Popen[bytes] | None, number: int) -> None:
    """End a process with what it has started."""
    if process is not None:
        if process.poll() is None:
            os.killpg(process.pid, number)
        process.wait(60)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return bool(connection.recv(1))
    except OSError:
        return False


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
