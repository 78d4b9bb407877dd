"""The soak's own judgement: a plan is repeatable, and whatever goes wrong is told."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.live.soak import clock, gauges
from tests.live.soak.arrangements import ARRANGEMENTS, MAX_QUEUE
from tests.live.soak.gauges import Sample
from tests.live.soak.ingest import Arrival
from tests.live.soak.ledger import Line
from tests.live.soak.plan import EACH_MINUTE, FAULTS, Step, make_plan
from tests.live.soak.played import Played
from tests.live.soak.verdict import Verdict, judge

ROOT = Path(__file__).parents[2]
SERVERS = ("flask", "django")
MEMORY = ARRANGEMENTS[0]
PID, CHILD = 41, 42


class TestPlan:
    def test_a_seed_makes_one_plan(self) -> None:
        assert make_plan(7, 60, SERVERS) == make_plan(7, 60, SERVERS)
        assert make_plan(7, 60, SERVERS) != make_plan(8, 60, SERVERS)

    def test_also_in_another_process(self) -> None:
        """Nothing of it may depend on the hashes of strings, which differ."""
        program = (
            "from tests.live.soak.plan import make_plan\n"
            f"print(*make_plan(7, 60, {SERVERS!r}), sep='\\n')"
        )
        said = subprocess.check_output([sys.executable, "-c", program], text=True, cwd=ROOT)
        assert said.splitlines() == [str(step) for step in make_plan(7, 60, SERVERS)]

    @pytest.mark.parametrize("seconds", [20, 60, 600])
    def test_has_something_of_everything_within_its_time(self, seconds: int) -> None:
        plan = make_plan(3, seconds, SERVERS, broker=True)
        assert {step.kind for step in plan} == {*EACH_MINUTE, "fault"}
        assert all(0 < step.at < seconds for step in plan)
        assert [step.at for step in plan] == sorted(step.at for step in plan)

    def test_has_every_fault_in_minutes(self) -> None:
        assert {step.what for step in faults(make_plan(3, 120, SERVERS))} == {"", *FAULTS}

    @pytest.mark.parametrize("seed", range(20))
    def test_faults_do_not_overlap(self, seed: int) -> None:
        for one, next_one in pairwise(faults(make_plan(seed, 60, SERVERS))):
            assert bool(one.what) != bool(next_one.what)

    def test_restarts_no_broker_that_is_not_there(self) -> None:
        assert "broker" not in {step.kind for step in make_plan(3, 60, SERVERS)}


def faults(plan: list[Step]) -> list[Step]:
    return [step for step in plan if step.kind == "fault"]


class Story:
    """A short soak in which all went well, to be spoilt."""

    def __init__(self, **arrangement: Any) -> None:
        self.played = Played(replace(MEMORY, **arrangement), wall=1e9)
        for number in range(3):
            self.tracks(f"v.{number}", "anon_1", "user_1", at=100.0 + number)
            self.arrives(f"v.{number}", "anon_1", "user_1", at=101.0 + number)

    def says(self, kind: str, *what: Any, pid: int = PID, at: float = 100.0) -> None:
        self.played.lines.append(Line(kind, pid, at, list(what)))

    def tracks(
        self,
        token: str,
        visitor: str = "anon_1",
        user: str = "",
        *,
        pid: int = PID,
        at: float = 100.0,
        opted_out: bool = False,
        result: str = "accepted",
    ) -> None:
        self.says("tracking", token, visitor, user, opted_out, pid=pid, at=at)
        if result == "accepted":
            self.says("accepted", token, f"id {token}", pid=pid, at=at)
        elif result:
            self.says("refused", token, pid=pid, at=at)

    def arrives(
        self,
        token: str,
        visitor: str = "anon_1",
        user: str | None = None,
        *,
        at: float = 101.0,
        **changed: Any,
    ) -> None:
        stamp = "2001-09-09T01:48:20.000Z"  # 1e9 + 100
        arrival = Arrival(token, f"id {token}", visitor, user, visitor, stamp, at, answered=True)
        self.played.arrivals.append(arrival._replace(**changed))

    def counts(self, **stats: Any) -> None:
        good = {"accepted": 3, "delivered": 3, "waiting": 0, "dropped": {}}
        self.says("stats", {**good, **stats}, at=200.0)

    def verdict(self) -> Verdict:
        return judge(self.played)


def test_a_good_soak_is_good() -> None:
    story = Story()
    story.counts()
    verdict = story.verdict()
    assert not verdict.problems
    assert (verdict.accepted, verdict.delivered) == (3, 3)
    assert (verdict.twice, verdict.needless, verdict.lost, verdict.crashed) == (0, 0, 0, 0)


def test_drops_are_accounted_for() -> None:
    story = Story()
    story.played.faults.append(("refuse", 90.0, 100.0))
    story.tracks("w.0")
    story.says("dropped", "w.0", "close_timeout")
    story.tracks("w.1", opted_out=True, result="refused")
    story.says("dropped", "w.1", "consent")
    story.tracks("w.2", result="refused")
    story.says("dropped", "w.2", "queue_overflow")
    verdict = story.verdict()
    assert not verdict.problems
    assert verdict.accepted == 5
    assert verdict.dropped == {"close_timeout": 1, "queue_overflow": 1}
    assert verdict.refused == {"consent": 1}


def test_what_waits_is_not_lost() -> None:
    story = Story(durable=True)
    story.tracks("w.0")
    story.played.waiting.add("w.0")
    verdict = story.verdict()
    assert not verdict.problems
    assert verdict.waiting == 1


def test_a_crash_loses_what_waits_in_memory() -> None:
    story = Story()
    story.tracks("w.0", at=149.0)
    story.tracks("w.1", at=149.5, result="")  # it died in the call
    story.tracks("w.2", at=149.5, result="")
    story.arrives("w.2")
    story.played.kills[PID] = 150.0
    verdict = story.verdict()
    assert not verdict.problems
    assert (verdict.accepted, verdict.delivered, verdict.crashed) == (5, 4, 1)
    assert verdict.refused == {"killed in the call": 1}


def test_a_crash_loses_nothing_of_a_durable_outbox() -> None:
    story = Story(durable=True)
    story.tracks("w.0", at=149.0)
    story.played.kills[PID] = 150.0
    verdict = story.verdict()
    assert verdict.lost == 1
    assert verdict.problems == ["w.0, which 41 had accepted"]


def test_what_is_old_in_a_crash_was_kept_by_a_fault() -> None:
    story = Story()
    story.tracks("w.0", at=120.0)
    story.played.kills[PID] = 150.0
    assert "had waited for 30.0 s" in story.verdict().problems[0]

    story.played.faults.append(("hang", 110.0, 140.0))

    assert not story.verdict().problems


def test_an_event_may_come_again_if_nobody_was_told_that_it_had_come() -> None:
    story = Story()
    story.played.arrivals[0] = story.played.arrivals[0]._replace(answered=False)
    story.arrives("v.0", user="user_1")
    verdict = story.verdict()
    assert not verdict.problems
    assert (verdict.twice, verdict.needless) == (1, 0)


@pytest.mark.parametrize("end", ["kill", "signal", "child"])
def test_around_an_end_a_durable_outbox_may_send_again(end: str) -> None:
    story = Story(durable=True, at_least_once=True)
    story.counts()  # its process is there to tell
    story.arrives("v.0", user="user_1", at=160.0)
    again = "v.0 came again, though its sender had its answer (59.0 s later)"
    assert story.verdict().problems == [again]

    if end == "kill":
        story.played.kills[CHILD] = 150.0
    elif end == "signal":
        story.played.ends.append(150.0)
    else:
        story.played.lines.pop()

    assert not story.verdict().problems
    assert story.verdict().needless == 1


def test_a_refusal_that_a_relay_keeps_is_accounted_for() -> None:
    story = Story(broker="redis")
    story.tracks("w.0")
    story.played.dead.add("w.0")
    story.played.faults.append(("reject", 110.0, 120.0))
    verdict = story.verdict()
    assert not verdict.problems
    assert verdict.dropped == {"dead_letter": 1}


DROPS = ("close_timeout", "dead_letter", "max_flush_attempts", "permanent_client_error")


@pytest.mark.parametrize("reason", [*DROPS, "queue_overflow"])
def test_a_reason_is_no_excuse_in_good_health(reason: str) -> None:
    story = Story()
    story.played.faults += [("reject", 20.0, 50.0), ("refuse", 20.0, 50.0), ("hang", 110.0, 120.0)]
    story.tracks("w.0")
    if reason == "dead_letter":
        story.played.dead.add("w.0")
    else:
        story.says("dropped", "w.0", reason, at=105.0)
    told = f"w.0 was given up ({reason}), and nothing called for that"
    assert story.verdict().problems == [told]


@pytest.mark.parametrize(
    ("reason", "fault"),
    [("close_timeout", "hang"), ("queue_overflow", "slow"), ("permanent_client_error", "reject")],
)
def test_a_reason_counts_around_its_fault(reason: str, fault: str) -> None:
    story = Story()
    story.tracks("w.0")
    story.says("dropped", "w.0", reason, at=105.0)
    story.played.faults.append((fault, 104.0, 110.0))
    assert not story.verdict().problems


@pytest.mark.parametrize("reason", ["close_timeout", "queue_overflow", "max_flush_attempts"])
def test_a_durable_outbox_gives_nothing_up_in_an_outage_either(reason: str) -> None:
    story = Story(durable=True)
    story.played.faults.append(("hang", 90.0, 110.0))
    story.tracks("w.0")
    story.says("dropped", "w.0", reason, at=105.0)
    assert len(story.verdict().problems) == 1


@pytest.mark.parametrize("reason", ["before_send", "closed", "consent", "validation_error"])
def test_what_is_refused_without_need_is_told(reason: str) -> None:
    story = Story()
    story.tracks("w.0", result="refused")
    story.says("dropped", "w.0", reason)
    assert len(story.verdict().problems) == 1


def test_a_soak_in_which_nothing_arrives_is_not_good() -> None:
    assert judge(Played(MEMORY)).problems == ["nothing was delivered"]


def spoil_lost(story: Story) -> None:
    story.tracks("w.0")


def spoil_too_many(story: Story) -> None:
    for number in range(MAX_QUEUE + 1):
        story.tracks(f"w.{number}", at=149.0)
    story.played.kills[PID] = 150.0


def spoil_stranger(story: Story) -> None:
    story.arrives("w.0")


def spoil_visitor(story: Story) -> None:
    story.tracks("w.0", "anon_2")
    story.arrives("w.0", "anon_1")


def spoil_mirror(story: Story) -> None:
    story.tracks("w.0")
    story.arrives("w.0", mirror="anon_2")


def spoil_user(story: Story) -> None:
    story.tracks("w.0")
    story.arrives("w.0", user="user_1")


def spoil_new_visitor(story: Story) -> None:
    for token in ("w.0", "w.1", "x.0"):  # two requests
        story.tracks(token, "")
        story.arrives(token, "anon_new")


def spoil_new_visitor_within_a_request(story: Story) -> None:
    for number in range(2):
        story.tracks(f"w.{number}", "")
        story.arrives(f"w.{number}", f"anon_new_{number}")


def spoil_known_visitor(story: Story) -> None:
    story.tracks("w.0", "")
    story.arrives("w.0", "anon_1")


def spoil_event_id(story: Story) -> None:
    story.tracks("w.0")
    story.arrives("w.0", event_id="id v.0")


def spoil_consent(story: Story) -> None:
    story.tracks("w.0", opted_out=True)
    story.arrives("w.0")


def spoil_repeat(story: Story) -> None:
    story.arrives("v.0", user="user_1")


def spoil_sum(story: Story) -> None:
    story.counts(delivered=2)


def spoil_accepted(story: Story) -> None:
    story.counts(accepted=4, delivered=4)


def spoil_dropped(story: Story) -> None:
    story.counts(dropped={"consent": 1, "closed": 0})


def spoil_silent_refusal(story: Story) -> None:
    story.tracks("w.0", result="refused")


def spoil_two_minds(story: Story) -> None:
    story.tracks("w.0")
    story.says("dropped", "w.0", "consent")


def spoil_call(story: Story) -> None:
    story.tracks("w.0", result="")


def spoil_promise(story: Story) -> None:
    story.played.promised.add("w.0")


def spoil_child(story: Story) -> None:
    story.says("ended", CHILD, None)


def spoil_clock(story: Story) -> None:
    story.played.offsets.append((100.0, 3600.0))


def spoil_answer(story: Story) -> None:
    story.played.broken.append("/track: 500 'oh'")


def spoil_log(story: Story) -> None:
    story.played.log = (
        "all is well\nTraceback (most recent call last):\n"
        '  File "a.py", line 1, in f\n    g()\nValueError: oh\nall is well\n'
    )


def spoil_memory(story: Story) -> None:
    growing = [Sample(100.0 + number, 5, 9) for number in range(60)]
    story.played.samples["flask", PID] = growing


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (spoil_lost, "w.0, which 41 had accepted"),
        (spoil_too_many, "301 events along, and only 300 can wait"),
        (spoil_stranger, "'w.0' arrived, and nobody had tracked it"),
        (spoil_visitor, "w.0 of anon_2 came as anon_1"),
        (spoil_mirror, "in properties anon_2"),
        (spoil_user, "w.0 of nobody came as user_1"),
        (spoil_new_visitor, "x.0 of a new visitor came with somebody's id, anon_new"),
        (spoil_new_visitor_within_a_request, "w.1 of anon_new_0 came as anon_new_1"),
        (spoil_known_visitor, "w.0 of a new visitor came with somebody's id, anon_1"),
        (spoil_event_id, "w.0 came with the event id of v.0"),
        (spoil_consent, "w.0 came, of anon_1, who has opted out"),
        (spoil_repeat, "v.0 came again, though its sender had its answer"),
        (spoil_sum, "those of 41 do not add up"),
        (spoil_accepted, "41 says that it accepted 4, and it was 3"),
        (spoil_dropped, "41 says that it dropped {'consent': 1}, and on_drop heard of {}"),
        (spoil_silent_refusal, "w.0 was refused, and on_drop did not hear why"),
        (spoil_two_minds, "w.0 was dropped (consent) and accepted all the same"),
        (spoil_call, "the call that tracks w.0 did not return in 41"),
        (spoil_promise, "a visitor was told of w.0, and nobody wrote it down"),
        (spoil_child, "42, a child of 41, ended with None"),
        (spoil_clock, "no event bears the time of a clock that is 3600 s off"),
        (spoil_answer, "/track: 500 'oh'"),
        (spoil_log, "ValueError: oh"),
        (spoil_memory, "memory of flask (41) grew from 129.5 to 149.5"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_goes_wrong_is_told(spoil: Callable[[Story], None], problem: str) -> None:
    story = Story()
    spoil(story)
    assert problem in "\n".join(story.verdict().problems)


def test_notes_of_the_playing_are_problems() -> None:
    story = Story()
    story.played.notes.append("flask does not end")
    assert story.verdict().problems == ["flask does not end"]


class TestGauges:
    @pytest.mark.parametrize("quantity", ["threads", "files"])
    def test_some_more_come_and_go(self, quantity: str) -> None:
        steady = [Sample(100.0, 5, 9)._replace(**{quantity: 9 + at % 5}) for at in range(60)]
        assert not gauges.judge({("flask", PID): steady}, quantity).problems

    @pytest.mark.parametrize("quantity", ["threads", "files"])
    def test_a_leak_is_told(self, quantity: str) -> None:
        leaking = [Sample(100.0, 5, 9)._replace(**{quantity: 9 + at // 2}) for at in range(60)]
        (problem,) = gauges.judge({("flask", PID): leaking}, quantity).problems
        assert problem == f"{quantity} of flask (41) grew from 23.5 to 33.5"

    def test_who_lived_too_short_is_not_judged(self) -> None:
        young = [Sample(100.0 * at, 5, 9) for at in range(gauges.ENOUGH - 1)]
        assert gauges.judge({("flask", PID): young}, "memory").judged == 0

    @pytest.mark.skipif(bool(MEMORY.missing()), reason="needs /proc")
    def test_samples_are_of_this_process(self) -> None:
        sample = gauges.sample(os.getpid())
        assert sample.memory > 1
        assert sample.threads >= 1
        assert sample.files >= 3


def test_wall_clock_is_stepped_and_the_monotonic_one_is_not(tmp_path: Path) -> None:
    stepped = clock.Clock(tmp_path / "clock")
    program = (
        "import time, datetime, sys\n"
        "from pathlib import Path\n"
        "from tests.live.soak import clock\n"
        "before = time.monotonic()\n"
        "clock.follow(Path(sys.argv[1]))\n"
        "from datetime import UTC, datetime\n"
        "from datalyr_core.event import clean_timestamp, read_moment\n"
        "now = datetime.now(UTC)\n"
        "assert isinstance(now, datetime)\n"
        "told = read_moment(clean_timestamp(None))\n"
        "print(time.time(), now.timestamp(), told.timestamp(), time.monotonic() - before)\n"
    )
    try:
        stepped.set(86_400.0)
        command = [sys.executable, "-c", program, str(tmp_path / "clock")]
        said = subprocess.check_output(command, text=True, cwd=ROOT)
    finally:
        stepped.close()
    *walls, monotonic = map(float, said.split())
    assert all(86_000 < wall - time.time() <= 86_400 for wall in walls)
    assert monotonic < 60
