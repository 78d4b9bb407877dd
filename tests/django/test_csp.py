"""The tag's nonce under the policies of Django itself and of django-csp."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import django
import pytest
from asgiref.sync import async_to_sync
from csp.constants import NONCE
from django.http import HttpResponse, StreamingHttpResponse
from django.template import engines
from django.test import override_settings

from tests.django.conftest import OURS, MakeSite, Site

TEMPLATE = "{% load datalyr %}{% datalyr_browser_sdk %}"
DJANGO_CSP = "csp.middleware.CSPMiddleware"
DJANGOS_OWN = "django.middleware.csp.ContentSecurityPolicyMiddleware"
SETTINGS: dict[str, Any] = {
    "CONTENT_SECURITY_POLICY": {"DIRECTIVES": {"script-src": [NONCE]}},
    "SECURE_CSP": {"script-src": ["<CSP_NONCE_SENTINEL>"]},  # CSP.NONCE of Django 6.0
}
PROCESSORS = {
    DJANGO_CSP: "csp.context_processors.nonce",
    DJANGOS_OWN: "django.template.context_processors.csp",
}

needs_djangos_own = pytest.mark.skipif(django.VERSION < (6,), reason="new in Django 6.0")
KINDS = [
    pytest.param(DJANGO_CSP, id="django-csp"),
    pytest.param(DJANGOS_OWN, id="djangos-own", marks=needs_djangos_own),
]
pytestmark = pytest.mark.parametrize("kind", KINDS)


def page(request: Any) -> HttpResponse:
    return HttpResponse(engines["django"].from_string(TEMPLATE).render({}, request))


@pytest.fixture(params=[True, False], ids=["with-processor", "without"])
def processor(request: pytest.FixtureRequest, kind: str) -> Iterator[None]:
    """The policy's context processor in the settings, which not everybody has."""
    processors = ["django.template.context_processors.request"]
    if request.param:
        processors.append(PROCESSORS[kind])
    backend = "django.template.backends.django.DjangoTemplates"
    options = {"context_processors": processors}
    with override_settings(TEMPLATES=[{"BACKEND": backend, "OPTIONS": options}]):
        yield


def nonces(response: Any, content: bytes) -> tuple[str | None, str | None]:
    """Return the nonce in the page, and the one in the policy."""
    in_page = re.search(rb' nonce="([^"]+)"', content)
    in_policy = re.search(r"'nonce-([^']+)'", response.headers.get("Content-Security-Policy", ""))
    return in_page and in_page[1].decode(), in_policy and in_policy[1]


def site_of(make_site: MakeSite, kind: str, view: Any = page, **options: Any) -> Site:
    options = {"workspace_id": "ws_1", **options}
    return make_site(view, middleware=(kind, OURS), settings=SETTINGS, **options)


@pytest.mark.usefixtures("processor")
def test_nonce_is_that_of_the_policy(make_site: MakeSite, way: str, kind: str) -> None:
    site = site_of(make_site, kind)
    seen = set()
    for _ in range(2):
        response = site.ask(way)
        in_page, in_policy = nonces(response, response.content)
        assert in_page == in_policy
        seen.add(in_page)
    assert None not in seen
    assert len(seen) == 2  # each page has its own


@pytest.mark.usefixtures("processor")
def test_no_nonce_is_made_where_the_tag_prints_nothing(
    make_site: MakeSite, way: str, kind: str
) -> None:
    site = site_of(make_site, kind)
    response = site.ask(way, headers={"sec-gpc": "1"})
    assert (response.content, nonces(response, response.content)) == (b"", (None, None))
    site = site_of(make_site, kind, workspace_id=None)
    response = site.ask(way)
    assert (response.content, nonces(response, response.content)) == (b"", (None, None))


def test_page_that_is_streamed_is_written(
    make_site: MakeSite, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its policy was sent before the template asks for a nonce, which django-csp refuses."""

    async def view(request: Any) -> StreamingHttpResponse:
        async def chunks() -> Any:
            yield page(request).content

        return StreamingHttpResponse(chunks())

    site = site_of(make_site, kind, view)

    async def read() -> tuple[Any, bytes]:
        response = await site.abrowser.get("/async")
        return response, b"".join([chunk async for chunk in response])

    response, content = async_to_sync(read)()
    assert content.startswith(b"<script defer ")
    in_page, in_policy = nonces(response, content)
    assert in_policy is None
    assert ("the browser SDK's tag has no nonce" in caplog.text) is (in_page is None)
    assert (in_page is None) is (kind == DJANGO_CSP)
