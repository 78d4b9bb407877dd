"""Every kind of response, with and without a new visitor's cookie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import cache
from django.core.wsgi import get_wsgi_application
from django.http import (
    FileResponse,
    Http404,
    HttpResponse,
    HttpResponseNotModified,
    JsonResponse,
    StreamingHttpResponse,
)
from django.views.decorators.cache import cache_control, cache_page, never_cache
from django.views.decorators.vary import vary_on_cookie

from tests.django.conftest import OURS, MakeSite, Site, buy, silent

COOKIE = "__dl_visitor_id"
CONDITIONAL = "django.middleware.http.ConditionalGetMiddleware"
UPDATE = "django.middleware.cache.UpdateCacheMiddleware"
FETCH = "django.middleware.cache.FetchFromCacheMiddleware"
ATTRIBUTES = {"Path=/", "Max-Age=31536000", "SameSite=Lax"}


def parts(response: Any, name: str = COOKIE) -> set[str]:
    return set(response.cookies[name].OutputString().split("; "))


def visitors(site: Site) -> list[str]:
    return [event.anonymous_id for event in site.events]


def test_cookie_is_the_browser_sdks_and_names_the_events_visitor(
    make_site: MakeSite, way: str
) -> None:
    site = make_site(set_visitor_cookie=True)
    response = site.ask(way)
    (visitor,) = visitors(site)
    assert parts(response) == {f"{COOKIE}={visitor}", *ATTRIBUTES}
    assert response.headers["Cache-Control"] == "private"


def test_next_request_of_that_browser_is_the_same_visitor(make_site: MakeSite) -> None:
    site = make_site(set_visitor_cookie=True)
    site.get()
    assert not site.get().cookies
    first, second = visitors(site)
    assert first == second


@pytest.mark.parametrize("name", ["shop", "x.y~z", "a|b", "!#%&'*+-.^_`|~"])
def test_cookie_of_any_name_on_a_domain(make_site: MakeSite, name: str) -> None:
    site = make_site(silent, set_visitor_cookie=True, cookie_name=name, cookie_domain="a.example")
    response = site.get()
    assert list(response.cookies) == [name]
    (pair,) = parts(response, name) - ATTRIBUTES - {"Domain=a.example"}
    assert pair.startswith(f"{name}=anon_")


def test_no_cookie_by_default(make_site: MakeSite, way: str) -> None:
    response = make_site().ask(way)
    assert not response.cookies
    assert "Cache-Control" not in response.headers


def not_found(request: Any) -> HttpResponse:
    raise Http404


def fails(request: Any) -> HttpResponse:
    raise ValueError("on purpose")


@pytest.mark.parametrize(("view", "status"), [(not_found, 404), (fails, 500)])
def test_error_page_is_a_page(make_site: MakeSite, way: str, view: Any, status: int) -> None:
    response = make_site(view, set_visitor_cookie=True).ask(way)
    assert response.status_code == status
    assert parts(response) > ATTRIBUTES


def test_what_is_no_page_has_a_cookie_where_the_tracker_was_used(
    make_site: MakeSite, way: str
) -> None:
    def view(request: Any) -> HttpResponse:
        if "used" in request.GET:
            buy(request)
        return JsonResponse({})

    site = make_site(view, set_visitor_cookie=True)
    assert not site.ask(way).cookies
    assert COOKIE in site.ask(way, "?used=1").cookies


def test_stream_has_the_visitor_of_its_events(make_site: MakeSite) -> None:
    def view(request: Any) -> StreamingHttpResponse:
        def chunks() -> Any:
            yield buy(request).content

        return StreamingHttpResponse(chunks())

    site = make_site(view, set_visitor_cookie=True)
    response = site.get()
    visitor = b"".join(response).decode()
    assert visitors(site) == [visitor]
    assert parts(response) == {f"{COOKIE}={visitor}", *ATTRIBUTES}


def test_asynchronous_stream_has_the_visitor_of_its_events(make_site: MakeSite) -> None:
    async def view(request: Any) -> StreamingHttpResponse:
        async def chunks() -> Any:
            yield buy(request).content

        return StreamingHttpResponse(chunks())

    site = make_site(view, set_visitor_cookie=True)

    async def read() -> tuple[Any, str]:
        response = await site.abrowser.get("/async")
        return response, b"".join([chunk async for chunk in response]).decode()

    response, visitor = async_to_sync(read)()
    assert visitors(site) == [visitor]
    assert parts(response) == {f"{COOKIE}={visitor}", *ATTRIBUTES}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("used", [False, True])
def test_file_is_left_to_the_server(make_site: MakeSite, tmp_path: Path, used: bool) -> None:
    file = tmp_path / "report.pdf"
    file.write_bytes(b"x" * 100_000)

    def view(request: Any) -> FileResponse:
        if used:
            request.datalyr.track("Downloaded")
        return FileResponse(file.open("rb"))

    site = make_site(view, set_visitor_cookie=True)
    environ: dict[str, Any] = {"PATH_INFO": "/sync", "wsgi.file_wrapper": FileWrapper}
    setup_testing_defaults(environ)
    environ["HTTP_HOST"] = "testserver"
    told: dict[str, str] = {}
    answer: Any = get_wsgi_application()(environ, lambda status, headers: told.update(headers))
    assert isinstance(answer, FileWrapper)
    assert b"".join(answer) == file.read_bytes()
    answer.close()
    assert told["Content-Type"] == "application/pdf"
    assert ("Set-Cookie" in told, told.get("Cache-Control")) == (
        (True, "private") if used else (False, None)
    )
    assert len(site.events) == used


def test_page_that_was_not_modified(make_site: MakeSite, way: str) -> None:
    def view(request: Any) -> HttpResponse:
        buy(request)
        return HttpResponseNotModified()

    response = make_site(view, set_visitor_cookie=True).ask(way)
    assert response.status_code == 304
    assert not response.cookies


@pytest.mark.parametrize("chain", [(OURS, CONDITIONAL), (CONDITIONAL, OURS)])
def test_page_that_django_finds_was_not_modified(
    make_site: MakeSite, way: str, chain: tuple[str, ...]
) -> None:
    site = make_site(silent, middleware=chain, set_visitor_cookie=True)
    etag = site.ask(way, headers={"cookie": f"{COOKIE}=v1"}).headers["ETag"]
    response = site.ask(way, headers={"if-none-match": etag})
    assert response.status_code == 304
    # Where Django decides after us, no shared cache may use what the cookie came with.
    private = response.headers.get("Cache-Control") == "private"
    assert bool(response.cookies) is private is (chain[0] == CONDITIONAL)


def test_cookie_is_secure_where_a_proxy_says_so_and_is_believed(
    make_site: MakeSite, way: str
) -> None:
    headers = {"x-forwarded-proto": "https"}
    believed = {"SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")}
    site = make_site(silent, set_visitor_cookie=True, settings=believed)
    assert "Secure" in parts(site.ask(way, headers=headers))
    site = make_site(silent, set_visitor_cookie=True, settings={"SECURE_PROXY_SSL_HEADER": None})
    site.browser.cookies.clear()
    assert "Secure" not in parts(site.ask(way, headers=headers))


def test_view_that_sets_the_same_cookie(make_site: MakeSite, way: str) -> None:
    """It stays as it is: the application knows better who its visitor is."""

    def view(request: Any) -> HttpResponse:
        response = buy(request)
        response.set_cookie(COOKIE, "mine", httponly=True, path="/shop", samesite="None")
        response.set_cookie("theme", "dark", httponly=True)
        return response

    site = make_site(view, set_visitor_cookie=True)
    response = site.ask(way)
    assert parts(response) == {
        f"{COOKIE}=mine",
        "HttpOnly",
        "Path=/shop",
        "SameSite=None",
    }
    assert parts(response, "theme") == {"theme=dark", "HttpOnly", "Path=/"}


def test_view_that_sets_the_cookie_of_a_known_visitor(make_site: MakeSite, way: str) -> None:
    def view(request: Any) -> HttpResponse:
        response = buy(request)
        response.delete_cookie(COOKIE)
        return response

    site = make_site(view, set_visitor_cookie=True)
    response = site.ask(way, headers={"cookie": f"{COOKIE}=v1"})
    assert "Max-Age=0" in parts(response)
    assert "Cache-Control" not in response.headers


CACHED_VIEWS: dict[str, Callable[[Any], HttpResponse]] = {
    "tracks": lambda request: _counted(request, buy),
    "tracks nothing": lambda request: _counted(request, silent),
    "varies": vary_on_cookie(lambda request: _counted(request, silent)),
    "cached by itself": cache_page(60)(lambda request: _counted(request, buy)),
    "public": cache_control(public=True, max_age=60)(lambda request: _counted(request, buy)),
    "private": cache_control(private=True)(lambda request: _counted(request, buy)),
    "no store": cache_control(no_store=True)(lambda request: _counted(request, buy)),
    "never cached": never_cache(lambda request: _counted(request, buy)),
}
CACHE_CHAINS = [(UPDATE, FETCH, OURS), (UPDATE, OURS, FETCH), (OURS, UPDATE, FETCH)]
served: list[Any] = []


def _counted(request: Any, view: Callable[[Any], HttpResponse]) -> HttpResponse:
    served.append(request)
    view(request)
    return HttpResponse("the same for everybody")


@pytest.fixture
def caches() -> Any:
    served.clear()
    cache.clear()
    yield {
        "CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
        "CACHE_MIDDLEWARE_SECONDS": 60,
    }
    cache.clear()


@pytest.mark.parametrize("chain", CACHE_CHAINS)
@pytest.mark.parametrize("kind", CACHED_VIEWS)
def test_cache_hands_nobody_the_cookie_of_another(
    make_site: MakeSite, way: str, kind: str, chain: tuple[str, ...], caches: Any
) -> None:
    site = make_site(CACHED_VIEWS[kind], middleware=chain, settings=caches, set_visitor_cookie=True)
    given: list[str] = []
    for cookie in (None, None, f"{COOKIE}=known", None, None):
        site.browser.cookies.clear()
        site.abrowser.cookies.clear()
        response = site.ask(way, headers={"cookie": cookie} if cookie else {})
        assert response.content == b"the same for everybody"
        if COOKIE in response.cookies:
            assert cookie is None
            assert response.headers["Cache-Control"] != "public"
            given.append(response.cookies[COOKIE].value)
    assert len(set(given)) == len(given)
    assert "known" not in given
    fresh = [visitor for visitor in visitors(site) if visitor != "known"]
    assert len(set(fresh)) == len(fresh)  # a view that ran for two visitors knew them apart


@pytest.mark.parametrize("chain", CACHE_CHAINS)
def test_page_of_a_known_visitor_is_cached_and_then_bears_no_cookie(
    make_site: MakeSite, way: str, chain: tuple[str, ...], caches: Any
) -> None:
    site = make_site(
        CACHED_VIEWS["tracks"], middleware=chain, settings=caches, set_visitor_cookie=True
    )
    site.ask(way, headers={"cookie": f"{COOKIE}=known"})
    for _ in range(2):
        assert not site.ask(way).cookies
    assert len(served) == 1
    assert visitors(site) == ["known"]
