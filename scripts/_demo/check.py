"""The check: some visitors at once, then a shutdown under load; does everything arrive once?"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx

from scripts._demo.ledger import Ledger
from scripts._demo.town import Town
from scripts._demo.visitor import Visitor
from scripts._demo.waiting import DemoError, Stop

ARRIVING = 20.0  # seconds
LAST_VISITS = 10

Story = Callable[[Town, Ledger, Stop], None]


def ada(town: Town, ledger: Ledger, stop: Stop) -> None:
    """Sign up and buy in every shop; submit twice; have payments reported twice."""
    with Visitor("Ada", ledger, stop) as visitor:
        for shop in town.shops.values():
            visitor.buy(shop)
            visitor.sign_up(shop, "ada@example.com", "pro")
            visitor.buy(shop, times=2)
            visitor.pay(shop)
        visitor.order(town.shops["flask"])


def bob(town: Town, ledger: Ledger, stop: Stop) -> None:
    """Buy in every shop without signing up."""
    with Visitor("Bob", ledger, stop) as visitor:
        for shop in town.shops.values():
            visitor.buy(shop)


def eve(town: Town, ledger: Ledger, stop: Stop) -> None:
    """Opt out in one shop, buy in all, opt in again in the last."""
    with Visitor("Eve", ledger, stop) as visitor:
        first, *_, last = town.shops.values()
        visitor.consent(first, tracked=False)
        for shop in town.shops.values():
            visitor.sign_up(shop, "eve@example.com", "free")
            visitor.buy(shop)
        visitor.consent(last, tracked=True)


def gil(town: Town, ledger: Ledger, stop: Stop) -> None:
    """Send Global Privacy Control."""
    with Visitor("Gil", ledger, stop, tracked=False, headers={"Sec-GPC": "1"}) as visitor:
        for shop in town.shops.values():
            visitor.buy(shop)
        if visitor.cookie:
            ledger.complain("Gil sends Global Privacy Control and was given an id all the same")


STORIES: tuple[Story, ...] = (ada, bob, eve, gil)


def run(town: Town, stop: Stop) -> bool:
    """Run the check, print what was seen, and tell whether all is well."""
    ledger = Ledger()
    with ThreadPoolExecutor(len(STORIES)) as pool:  # at once: nobody's event may bear another's id
        list(pool.map(lambda story: _tell(story, town, ledger, stop), STORIES))
    _await(town, ledger, stop)
    _end_under_load(town, ledger, stop)
    arrived = town.events()["events"]
    problems = ledger.compare(arrived) + _refused(town)
    print(*ledger.table(arrived), sep="\n")
    _conclude(ledger, problems)
    return not problems


def _tell(story: Story, town: Town, ledger: Ledger, stop: Stop) -> None:
    try:
        story(town, ledger, stop)
    except (httpx.HTTPError, LookupError) as error:  # a shop fails, or its page lacks something
        ledger.complain(f"{story.__name__} could not go on: {error!r}")


def _await(town: Town, ledger: Ledger, stop: Stop) -> None:
    """Wait for everything so far, while the shops are running."""

    def all_there() -> bool:
        there = {view["event"]["eventId"] for view in town.events()["events"]}
        return ledger.entries.keys() <= there

    try:
        stop.until(all_there, "everything has arrived", ARRIVING)
    except DemoError as problem:
        ledger.complain(str(problem))


def _end_under_load(town: Town, ledger: Ledger, stop: Stop) -> None:
    """End each shop right behind a burst of visits, whose events are still waiting in it."""
    with Visitor("Last", ledger, stop) as visitor:
        for shop in town.shops.values():
            for _ in range(LAST_VISITS):
                visitor.land(shop)
            shop.ask_to_end()
    town.close()


def _refused(town: Town) -> list[str]:
    return [f"the inspector answered {each['answer']}: {each}" for each in town.attempts()]


def _conclude(ledger: Ledger, problems: list[str]) -> None:
    for problem in problems:
        print(f"WRONG  {problem}")
    visitors = {entry.visitor for entry in ledger.entries.values()}
    repeats = sum(entry.repeats for entry in ledger.entries.values())
    print(
        f"{len(ledger.entries)} events of {len(visitors)} visitors, {repeats} of them sent again: "
        + (f"{len(problems)} problems" if problems else "each arrived once, as it should")
    )
