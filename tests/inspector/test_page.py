"""The page in a real browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from datalyr_core.inspector.server import RunningInspector, running
from datalyr_core.inspector.store import Store

from .wire import HEADERS, body, encoded

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="the page is tested with playwright, which is not installed"
)
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path for the page")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
expect = sync_api.expect


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, inspector: RunningInspector) -> Iterator[Page]:
    """Open the page, and fail the test on any complaint in the console."""
    opened = browser.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(inspector.url)
    expect(opened.locator("#connection")).to_have_text("Live")
    yield opened
    opened.close()
    assert complaints == []


def send(http: httpx.Client, *names: str, **changes: Any) -> None:
    for name in names:
        http.post("/track", content=encoded(body(name, **changes)), headers=HEADERS)


def test_an_event_appears_without_reloading(page: Page, http: httpx.Client) -> None:
    expect(page.get_by_role("heading", name="Waiting for the first event")).to_be_visible()
    track_url = f"{str(http.base_url).rstrip('/')}/track"
    expect(page.locator("#snippet-python")).to_contain_text(
        f'Datalyr("dk_test", host="{track_url}")'
    )
    send(http, "signed_up", properties={"plan": "pro", "nothing": None, "deep": {"a": 1}})
    row = page.get_by_role("button", name="signed_up")
    expect(row).to_be_visible()
    expect(row.locator(".summary")).to_have_text("plan pro")
    expect(page.locator("#empty")).to_be_hidden()
    expect(page.locator("#count-total")).to_have_text("1")
    expect(page).to_have_title("1 · Datalyr inspector")
    expect(page.locator("#announcement")).to_have_text("1 event from 1 visitor")


def test_markup_stays_text(page: Page, http: httpx.Client) -> None:
    hostile = "<img src=x onerror=\"document.title = 'owned'\">"
    properties = {"text": hostile, hostile: hostile}
    send(http, hostile, anonymous_id=hostile, properties=properties, userId=hostile, extra=hostile)
    http.put("/api/faults", json={"status": 503, "count": 1})
    send(http, hostile, eventId="another")
    row = page.locator(".row")
    expect(row.locator(".name")).to_have_text(hostile)
    row.click()
    expect(page.locator(".detail code")).to_contain_text('onerror=\\"document.title')
    expect(page.locator("#attempts .meta")).to_have_text(hostile)
    expect(page.locator("main img, aside img")).to_have_count(0)
    expect(page).to_have_title("1 · Datalyr inspector")


def test_a_visitor_is_one_timeline_that_shows_who_it_became(page: Page, http: httpx.Client) -> None:
    send(http, "landed", "looked", anonymous_id="anon_a")
    send(http, "landed", anonymous_id="anon_b", userId="known_b")
    send(http, "$identify", "bought", anonymous_id="anon_a", userId="user_a")
    send(http, "switched", anonymous_id="anon_a", userId="user_a2")
    send(http, "left", anonymous_id="anon_a")
    visitor = page.get_by_role("region", name="Visitor anon_a")
    expect(visitor.locator(".name")).to_have_text(
        ["landed", "looked", "$identify", "bought", "switched", "left"]
    )
    expect(visitor.locator(".became")).to_have_text(["became user_a", "now user_a2"])
    became = visitor.locator(".event", has_text="became user_a")
    expect(became.locator(".name")).to_have_text("$identify")
    expect(visitor.locator(".event.known")).to_have_count(4)
    expect(visitor.get_by_role("heading")).to_have_text("user_a2")
    other = page.get_by_role("region", name="Visitor anon_b")
    expect(other.locator(".became")).to_have_text("known as known_b")
    expect(page.locator("#count-visitors")).to_have_text("2")
    hues = [
        card.evaluate("card => card.style.getPropertyValue('--hue')") for card in (visitor, other)
    ]
    assert hues[0] != hues[1]


def test_events_without_a_visitor_are_kept_apart(page: Page, http: httpx.Client) -> None:
    http.post("/track", content=b'{"event": 42, "userId": 7}', headers=HEADERS)
    visitor = page.get_by_role("region", name="Visitor no anonymous id")
    expect(visitor.locator(".name")).to_have_text("42")
    expect(visitor.locator(".violations li").first).to_have_text("anonymousId: it is missing")


def test_a_repeat_and_a_violation_are_marked(page: Page, http: httpx.Client) -> None:
    send(http, "bought", "bought")
    send(http, "purchase", properties={"value": 1, "currency": "eur"})
    rows = page.locator(".event")
    expect(rows.nth(0).locator(".badge")).to_have_count(0)
    expect(rows.nth(1).locator(".badge")).to_have_text("de-duplicated")
    expect(rows.nth(2).locator(".badge")).to_have_text("1 violation")
    violation = rows.nth(2).locator(".violations li")
    expect(violation).to_have_text('purchase: properties.currency must be in upper case, not "eur"')
    red, text = (
        violation.evaluate("item => getComputedStyle(item).color"),
        page.evaluate("() => getComputedStyle(document.body).color"),
    )
    assert red != text
    expect(page.locator("#count-duplicates")).to_have_text("1")
    expect(page.locator("#count-violations")).to_have_text("1")


def test_the_filter_hides_what_does_not_match(page: Page, http: httpx.Client) -> None:
    send(http, "one", anonymous_id="anon_a", properties={"city": "Zürich"})
    send(http, "two", anonymous_id="anon_b", userId="user_b")
    shown = page.locator(".row:visible .name")
    field = page.get_by_label("Filter the events")
    for words, names in (("zürich", ["one"]), ("USER_B two", ["two"]), ("", ["two", "one"])):
        field.fill(words)
        expect(shown).to_have_text(names)
    field.fill("nothing like it")
    expect(page.get_by_text("No event matches this filter.")).to_be_visible()
    send(http, "nothing like it")
    expect(shown).to_have_text(["nothing like it"])
    field.press("Escape")
    expect(shown).to_have_count(3)


def test_the_chips_show_only_what_is_marked(page: Page, http: httpx.Client) -> None:
    send(http, "fine", "fine")
    send(http, "wrong", userId="")
    shown = page.locator(".row:visible .name")
    violations = page.get_by_role("button", name="Only violations")
    violations.click()
    expect(shown).to_have_text(["wrong"])
    expect(violations).to_have_attribute("aria-pressed", "true")
    violations.click()
    page.get_by_role("button", name="Only de-duplicated").click()
    expect(shown).to_have_text(["fine"])


def test_the_keyboard_is_enough(page: Page, http: httpx.Client) -> None:
    send(http, "first", "second", properties={"plan": "pro"})
    expect(page.locator(".row")).to_have_count(2)
    page.keyboard.press("/")
    expect(page.get_by_label("Filter the events")).to_be_focused()
    first, second = page.locator(".row").all()
    between = ("Only violations", "Only de-duplicated", "Clear all")
    stops = [page.get_by_role("button", name=name) for name in between]
    for stop in stops:
        page.keyboard.press("Tab")
        expect(stop).to_be_focused()
    page.keyboard.press("Tab")
    expect(first).to_be_focused()
    assert first.evaluate("row => getComputedStyle(row).outlineStyle") == "solid"
    page.keyboard.press("ArrowDown")
    expect(second).to_be_focused()
    page.keyboard.press("Enter")
    expect(second).to_have_attribute("aria-expanded", "true")
    expect(page.locator(".detail code")).to_contain_text('"plan": "pro"')
    page.keyboard.press("Space")
    expect(second).to_have_attribute("aria-expanded", "false")
    expect(page.locator(".detail")).to_have_count(0)
    page.keyboard.press("ArrowUp")
    expect(first).to_be_focused()


# Timers of the page that wait for a moment are left waiting, as if it had not come yet.
NO_MOMENT = """const start = window.setTimeout;
window.setTimeout = (run, wait, ...given) => start(run, wait === 40 ? 1e9 : wait, ...given);"""


def test_what_an_event_brings_can_be_reached_before_the_page_is_drawn_anew(
    browser: Browser, inspector: RunningInspector, http: httpx.Client
) -> None:
    page = browser.new_page()
    page.add_init_script(NO_MOMENT)
    page.goto(inspector.url)
    expect(page.locator("#connection")).to_have_text("Live")
    send(http, "first")
    expect(page.locator(".row")).to_have_count(1)
    expect(page.locator("#count-total")).to_have_text("0")  # not drawn
    page.get_by_role("button", name="Clear all").focus()
    page.keyboard.press("Tab")
    expect(page.locator(".row")).to_be_focused()
    page.close()


def test_the_detail_shows_numbers_digit_by_digit(page: Page, http: httpx.Client) -> None:
    values: dict[str, Any] = {
        "big": 9223372036854775807,
        "price": 19.9,
        "no": False,
        "none": None,
        "empty": [],
    }
    send(http, "counted", properties=values)
    page.get_by_role("button", name="counted").click()
    shown = page.locator(".detail code")
    for text in ('"big": 9223372036854775807,', '"price": 19.9,', '"no": false,', '"empty": []'):
        expect(shown).to_contain_text(text)
    expect(page.locator(".detail .meta")).to_contain_text("with key dk_…42")


def test_the_detail_can_be_copied(page: Page, http: httpx.Client) -> None:
    send(http, "copied")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="copied").click()
    page.locator(".detail").get_by_role("button", name="Copy").click()
    expect(page.locator(".detail .copy")).to_have_text("Copied")
    assert '"event": "copied"' in page.evaluate("() => navigator.clipboard.readText()")


@pytest.mark.parametrize(
    ("choice", "status", "state"),
    [
        ("503", 503, "Answering 503 for every request"),
        ("429", 429, "Answering 429, Retry-After 2 s, for every request"),
        ("Slow", 200, "Accepting after 0.1 s for every request"),
    ],
)
def test_a_switch_makes_the_ingest_fail(
    page: Page, http: httpx.Client, choice: str, status: int, state: str
) -> None:
    page.get_by_role("radio", name=choice).check()
    if choice == "Slow":
        page.get_by_label("Seconds").fill("0.1")
        page.get_by_label("Seconds").press("Enter")
    expect(page.locator("#fault-state")).to_have_text(state)
    answer = http.post("/track", content=encoded(body()), headers=HEADERS)
    assert answer.status_code == status
    assert answer.headers.get("retry-after") == ("2" if choice == "429" else None)
    expect(page.locator("#attempts li")).to_have_count(1)
    expect(page.locator("#count-faulted")).to_have_text("1")
    page.get_by_role("radio", name="Normally").check()
    expect(page.locator("#fault-state")).to_have_text("")
    assert http.get("/api/faults").json() == {}


def test_a_switch_can_cut_the_connection_for_some_requests(page: Page, http: httpx.Client) -> None:
    page.get_by_role("radio", name="Cut").check()
    page.get_by_label(re.compile("^For ")).select_option("1 request")
    expect(page.locator("#fault-state")).to_have_text("Connection cut for the next request")
    with pytest.raises(httpx.RemoteProtocolError):
        http.post("/track", content=encoded(body()), headers=HEADERS)
    expect(page.get_by_role("radio", name="Normally")).to_be_checked()
    expect(page.locator("#fault-state")).to_have_text("")


def test_slow_by_nothing_is_off(page: Page) -> None:
    page.get_by_role("radio", name="Slow").check()
    page.get_by_label("Seconds").fill("0")
    page.get_by_label("Seconds").press("Enter")
    expect(page.get_by_role("radio", name="Normally")).to_be_checked()


def test_a_switch_that_is_refused_says_why(browser: Browser, inspector: RunningInspector) -> None:
    page = browser.new_page()  # its console names the refusal, rightly
    page.goto(inspector.url)
    page.get_by_role("radio", name="Slow").check()
    page.get_by_label("Seconds").fill("61")
    page.get_by_label("Seconds").press("Enter")
    expect(page.locator("#fault-state")).to_have_text("delay must be 0 to 60 seconds, not 61")
    page.close()


def test_without_an_inspector_a_switch_says_so(browser: Browser) -> None:
    with running() as inspector:
        page = browser.new_page()  # its console names the failed request, rightly
        page.goto(inspector.url)
        expect(page.locator("#connection")).to_have_text("Live")
    page.get_by_role("radio", name="503").check()
    expect(page.locator("#fault-state")).to_have_text("The inspector does not answer.")
    page.close()


def test_a_fault_set_elsewhere_is_shown(page: Page, http: httpx.Client) -> None:
    http.put("/api/faults", json={"status": 418, "count": 3})
    expect(page.locator("#fault-state")).to_have_text("Answering 418 for the next 3 requests")
    expect(page.locator("input[name=kind]:checked")).to_have_count(0)


def test_retries_can_be_watched(page: Page, http: httpx.Client) -> None:
    http.put("/api/faults", json={"status": 503, "count": 2})
    send(http, "bought", "bought", "bought", "bought")
    expect(page.locator("#attempts .meta")).to_have_text(["bought, try 2", "bought"])
    expect(page.locator(".event").nth(0).locator(".badge")).to_have_text("after 2 failed tries")
    expect(page.locator(".event").nth(1).locator(".badge")).to_have_text("de-duplicated")


def test_a_refused_request_is_shown_with_its_reason(page: Page, http: httpx.Client) -> None:
    http.post("/track", content=b'{"a": NaN}', headers=HEADERS)
    expect(page.locator("#attempts .refused")).to_have_text("400")
    expect(page.locator("#attempts .violations")).to_have_text("body: NaN is not JSON")


def test_clear_empties_the_page_and_the_store(page: Page, http: httpx.Client) -> None:
    send(http, "one")
    http.post("/track", content=b"{", headers=HEADERS)
    expect(page.locator("#attempts > li")).to_have_count(1)
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator(".visitor, #attempts li")).to_have_count(0)
    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator("#count-total")).to_have_text("0")
    assert http.get("/api/events").json()["events"] == []


def test_the_page_keeps_no_more_than_the_store(browser: Browser) -> None:
    with (
        running(store=Store(max_events=2)) as inspector,
        httpx.Client(base_url=inspector.url, trust_env=False) as http,
    ):
        page = browser.new_page()
        page.goto(inspector.url)
        expect(page.locator("#connection")).to_have_text("Live")
        for name in ("a", "b", "c"):
            send(http, name, anonymous_id=f"anon_{name}")
        expect(page.locator(".visitor .name")).to_have_text(["c", "b"])
        expect(page.locator(".visitor")).to_have_count(2)
        page.close()


def test_the_page_comes_back_when_the_inspector_does(browser: Browser) -> None:
    with running() as inspector:
        page = browser.new_page()
        page.goto(inspector.url)
        expect(page.locator("#connection")).to_have_text("Live")
        with httpx.Client(base_url=inspector.url, trust_env=False) as http:
            send(http, "before")
        expect(page.locator(".name")).to_have_text("before")
        port = int(inspector.url.rpartition(":")[2])
    expect(page.locator("#connection")).to_have_text(re.compile("lost"))
    with running(port=port) as again, httpx.Client(base_url=again.url, trust_env=False) as http:
        send(http, "after")
        expect(page.locator("#connection")).to_have_text("Live", timeout=10_000)
        # Another process has other events: the old ones are gone.
        expect(page.locator(".name")).to_have_text("after")
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_is_readable_in_both_schemes_and_fits(
    browser: Browser, inspector: RunningInspector, http: httpx.Client, scheme: Any, width: int
) -> None:
    send(http, "$identify", userId="u" * 200, anonymous_id="a" * 200, properties={"x": "y" * 500})
    send(http, "n" * 200, properties={"currency": "eur"}, extra="z" * 200)
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(inspector.url)
    page.locator(".row").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for selector in (".summary", ".violations li", ".became span", ".meta", ".badge", ".key"):
        element = page.locator(f".visitor {selector}").first
        assert contrast(element.evaluate(COLOURS)) >= 4.5, selector
    page.close()


# Painted on a canvas, so that every notation of a colour becomes red, green and blue.
COLOURS = """element => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const brush = canvas.getContext("2d");
  const paint = (colour) => {
    brush.fillStyle = colour;
    brush.fillRect(0, 0, 1, 1);
    return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const chain = [];
  for (let at = element; at; at = at.parentElement) chain.unshift(getComputedStyle(at));
  const grounds = chain.map((style) => paint(style.backgroundColor));
  return [paint(getComputedStyle(element).color), grounds.at(-1)];
}"""


def contrast(colours: list[list[int]]) -> float:
    lighter, darker = sorted((luminance(colour) for colour in colours), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: list[int]) -> float:
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4
        for part in (value / 255 for value in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
