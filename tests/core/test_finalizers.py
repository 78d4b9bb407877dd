"""Finalizers run in whatever thread, between any two steps, also of ours."""

from __future__ import annotations

import pytest

from tests.support.scripts import Scripts

SCRIPT = """
import gc, logging, random, sys, threading
from datalyr_core import Datalyr, Reply

errors = []
threading.excepthook = lambda told: errors.append(told.exc_value)
sys.unraisablehook = lambda told: errors.append(told.exc_value)

class Log(logging.Handler):  # a stream would refuse, by itself, to be entered twice
    def emit(self, record):
        log.append(record.getMessage())

log = []
logging.basicConfig(handlers=[Log()], level=logging.DEBUG)

class Transport:
    def send(self, body):
        return Reply(random.choice((200, 200, 400, 503)))

client = Datalyr("dk_test", transport=Transport(), max_queue_size=100, flush_interval=1)

class Tracking:
    def __init__(self):
        self.me = self  # only the garbage collector ends it

    def __del__(self):
        client.track("u", "From a finalizer")
        logging.getLogger("datalyr").info("tracked")
        client.stats
        MORE

def work():
    with client.backpressure(timeout=TIMEOUT):
        for number in range(600):
            Tracking()
            client.track("u", "E", {"list": [number]})
            if number % 100 == 0:
                client.flush(0.01)

gc.set_threshold(5)  # it runs hundreds of times as often as usual
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
gc.set_threshold(700)
client.close(1)
stats = client.stats
assert stats.accepted > 1800, stats
assert stats.accepted == stats.delivered + sum(stats.dropped.values()), stats
assert errors == [], errors
assert "tracked" in log
print("ok")
"""


@pytest.mark.parametrize("timeout", ["0", "0.001"], ids=["no wait", "backpressure"])
@pytest.mark.parametrize(
    "more", ["pass", "random.random() < 0.02 and client.flush(0.01)"], ids=["tracks", "flushes"]
)
def test_finalizers_that_track_log_and_flush_in_the_middle_of_everything(
    timeout: str, more: str, scripts: Scripts
) -> None:
    ended = scripts.run(SCRIPT.replace("MORE", more).replace("TIMEOUT", timeout))
    assert (ended.code, ended.out, ended.err) == (0, "ok\n", "")
