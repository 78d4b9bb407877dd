"""`{% load datalyr %}{% datalyr_browser_sdk %}`"""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.http import HttpResponse
from django.template import Context, Template, engines
from django.utils.functional import SimpleLazyObject, empty
from django.utils.safestring import SafeString
from django.views.decorators.cache import cache_page
from django.views.decorators.vary import vary_on_headers

from tests.django.conftest import OURS, MakeSite

TEMPLATE = "{% load datalyr %}{% datalyr_browser_sdk %}"
REFUSALS = [{"cookie": "__dl_opt_out=true"}, {"sec-gpc": "1"}]
TAG = '<script defer src="https://track.datalyr.com/dl.js" data-workspace-id="ws_1"'


def page(request: Any) -> HttpResponse:
    return HttpResponse(engines["django"].from_string(TEMPLATE).render({}, request))


class LazyNonce(SimpleLazyObject):
    """Be false until the nonce is made, as those of Django 6 and of django-csp are."""

    def __init__(self) -> None:
        super().__init__(lambda: "n1")

    def __bool__(self) -> bool:
        return self._wrapped is not empty


def test_tag_in_a_page(make_site: MakeSite, way: str) -> None:
    site = make_site(page, workspace_id="ws_1")
    assert site.ask(way).content.decode() == f"{TAG}></script>"


def test_nothing_without_a_workspace(make_site: MakeSite) -> None:
    assert make_site(page).get().content == b""


@pytest.mark.parametrize(
    ("headers", "options", "written"),
    [
        ({"cookie": "__dl_opt_out=true"}, {}, False),
        ({"sec-gpc": "1"}, {}, False),
        ({"sec-gpc": "1"}, {"respect_gpc": False}, True),
        ({"dnt": "1"}, {}, True),
        ({"dnt": "1"}, {"respect_dnt": True}, False),
    ],
)
def test_nothing_for_a_visitor_who_is_not_tracked(
    make_site: MakeSite, way: str, headers: Any, options: Any, written: bool
) -> None:
    site = make_site(page, workspace_id="ws_1", **options)
    assert bool(site.ask(way, headers=headers).content) is written


@pytest.mark.parametrize("nonce", ["n1", LazyNonce])
def test_nonce_of_the_request(make_site: MakeSite, way: str, nonce: Any) -> None:
    def view(request: Any) -> HttpResponse:
        request.csp_nonce = nonce if nonce == "n1" else nonce()
        return page(request)

    site = make_site(view, workspace_id="ws_1")
    assert site.ask(way).content.decode() == f'{TAG} nonce="n1"></script>'


@pytest.mark.parametrize("nonce", ["n1", LazyNonce])
def test_nonce_of_the_context(make_site: MakeSite, nonce: Any) -> None:
    make_site(workspace_id="ws_1")
    given = nonce if nonce == "n1" else nonce()
    told = Template(TEMPLATE).render(Context({"csp_nonce": given}))
    assert told == f'{TAG} nonce="n1"></script>'


def test_nonce_is_not_made_for_a_page_without_the_script(make_site: MakeSite) -> None:
    nonces: list[LazyNonce] = []

    def view(request: Any) -> HttpResponse:
        nonces.append(LazyNonce())
        request.csp_nonce = nonces[-1]
        return page(request)

    make_site(view, workspace_id="ws_1").get(headers={"sec-gpc": "1"})
    make_site(view).get()
    assert [bool(nonce) for nonce in nonces] == [False, False]


@pytest.mark.parametrize("nonce", [None, ""])
def test_no_nonce(make_site: MakeSite, nonce: Any) -> None:
    make_site(workspace_id="ws_1")
    assert Template(TEMPLATE).render(Context({"csp_nonce": nonce})) == f"{TAG}></script>"


def test_hostile_values_are_escaped(make_site: MakeSite) -> None:
    make_site(workspace_id="\"><script>alert('1')</script>&")
    told = Template(TEMPLATE).render(Context({"csp_nonce": '" onload="x'}))
    assert told.count("<script") == told.count("</script>") == 1
    assert 'data-workspace-id="&quot;&gt;&lt;script&gt;alert(&#x27;1&#x27;)' in told
    assert 'nonce="&quot; onload=&quot;x"' in told


def test_tag_without_a_request(make_site: MakeSite) -> None:
    make_site(workspace_id="ws_1")
    told = Template(TEMPLATE).render(Context())
    assert told == f"{TAG}></script>"
    assert isinstance(told, SafeString)


@pytest.mark.parametrize("headers", REFUSALS)
def test_consent_without_the_middleware(make_site: MakeSite, way: str, headers: Any) -> None:
    site = make_site(page, middleware=(), workspace_id="ws_1")
    assert site.ask(way).content.decode() == f"{TAG}></script>"
    assert site.ask(way, headers=headers).content == b""


@pytest.mark.parametrize("headers", REFUSALS)
@pytest.mark.parametrize("context", [{}, {"request": "a word that a template uses for its own"}])
def test_consent_where_the_template_is_not_given_the_request(
    make_site: MakeSite, way: str, headers: Any, context: Any
) -> None:
    def view(request: Any) -> HttpResponse:
        return HttpResponse(engines["django"].from_string(TEMPLATE).render(context))

    site = make_site(view, workspace_id="ws_1")
    assert site.ask(way).content.decode() == f"{TAG}></script>"
    assert site.ask(way, headers=headers).content == b""


def test_template_that_is_kept_keeps_nobodys_consent(make_site: MakeSite, way: str) -> None:
    """Django compiles a template once for all requests."""
    compiled = engines["django"].from_string(TEMPLATE)
    site = make_site(
        lambda request: HttpResponse(compiled.render({}, request)), workspace_id="ws_1"
    )
    answers = [site.ask(way, headers=headers).content for headers in ({}, *REFUSALS, {})]
    assert [bool(answer) for answer in answers] == [True, False, False, True]


def test_cache_that_tells_visitors_apart(make_site: MakeSite) -> None:
    """As the documentation has it: consent comes in these two headers."""
    cached = cache_page(60)(vary_on_headers("Cookie", "Sec-GPC")(page))
    caches = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    site = make_site(cached, workspace_id="ws_1", settings={"CACHES": caches})
    cache.clear()
    for _ in range(2):
        answers = [site.get(headers=headers).content for headers in ({}, *REFUSALS, {})]
        assert [bool(answer) for answer in answers] == [True, False, False, True]
    cache.clear()


def test_tag_gives_no_cookie_to_a_fragment(make_site: MakeSite, way: str) -> None:
    """To ask for consent is not to use the tracker."""

    def view(request: Any) -> HttpResponse:
        return HttpResponse(page(request).content, content_type="text/plain")

    site = make_site(view, middleware=(OURS,), workspace_id="ws_1", set_visitor_cookie=True)
    assert not site.ask(way).cookies
