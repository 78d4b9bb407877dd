"""Views of Django REST Framework, which wraps the request, and of Django Ninja."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from django.http import HttpRequest
from django.urls import path
from ninja import NinjaAPI
from ninja.security import APIKeyHeader
from rest_framework.authentication import SessionAuthentication, TokenAuthentication
from rest_framework.decorators import api_view
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from datalyr_core import current_tracker
from tests.django.accounts.models import Customer
from tests.django.chain import ASYNC_ONLY
from tests.django.conftest import AUTH, OURS, SESSION, MakeSite

pytestmark = pytest.mark.django_db(transaction=True)

VISITOR = {"cookie": "__dl_visitor_id=v1"}
SERVERS = ["wsgi", "asgi"]
_names = count()


@pytest.fixture
def customer() -> Customer:
    return Customer.objects.create(name="joan")


class Tokens(TokenAuthentication):
    """Take a customer's name for a token."""

    def authenticate_credentials(self, key: str) -> Any:
        try:
            return Customer.objects.get(name=key), key
        except Customer.DoesNotExist:
            raise AuthenticationFailed from None


class Buy(APIView):
    renderer_classes = (JSONRenderer,)
    authentication_classes: Any = (Tokens,)

    def get(self, request: Any) -> Response:
        assert current_tracker() is request.datalyr is request._request.datalyr
        request.datalyr.track("Bought")
        return Response({"visitor": request.datalyr.anonymous_id})


class BuyInSession(Buy):
    authentication_classes = (SessionAuthentication,)


class BuyWithPermission(Buy):
    permission_classes = (IsAuthenticated,)


class Asked(Buy):
    """Authenticate nobody before the view asks for the user."""

    def perform_authentication(self, request: Any) -> None:
        pass

    def get(self, request: Any) -> Response:
        request.datalyr.track("Before it asks")
        assert request.user.is_authenticated
        return super().get(request)


class Fails(Buy):
    def get(self, request: Any) -> Response:
        super().get(request)
        raise ValueError("on purpose")


@api_view(["GET"])
def buy(request: Any) -> Response:
    view = Buy()
    view.setup(request)
    return view.get(request)


buy.cls.renderer_classes = (JSONRenderer,)
buy.cls.authentication_classes = (Tokens,)


def urls(view: Any) -> Any:
    return (path("sync", view),)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("view", [Buy.as_view(), BuyWithPermission.as_view(), buy])
@pytest.mark.parametrize("order", [(SESSION, AUTH, OURS), (OURS, SESSION, AUTH), (OURS,)])
def test_user_of_a_token(
    make_site: MakeSite, customer: Customer, server: str, view: Any, order: tuple[str, ...]
) -> None:
    site = make_site(urls=urls(view), middleware=order)
    response = site.ask(f"{server}-sync", headers={**VISITOR, "authorization": "Token joan"})
    assert response.json() == {"visitor": "v1"}
    (event,) = site.events
    assert (event.anonymous_id, event.user_id) == ("v1", str(customer.pk))


@pytest.mark.parametrize("server", SERVERS)
def test_user_of_a_session(make_site: MakeSite, customer: Customer, server: str) -> None:
    site = make_site(urls=urls(BuyInSession.as_view()))
    site.log_in(customer)
    assert site.ask(f"{server}-sync").status_code == 200
    assert site.users == [str(customer.pk)]


@pytest.mark.parametrize("server", SERVERS)
def test_nobody(make_site: MakeSite, server: str) -> None:
    site = make_site(urls=urls(Buy.as_view()))
    assert site.ask(f"{server}-sync").status_code == 200
    assert site.users == [None]


@pytest.mark.parametrize("server", SERVERS)
def test_session_of_one_and_token_of_another(
    make_site: MakeSite, customer: Customer, server: str
) -> None:
    """Whom the view has authenticated counts."""
    site = make_site(urls=urls(Buy.as_view()))
    site.log_in(Customer.objects.create(name="other"))
    site.ask(f"{server}-sync", headers={"authorization": "Token joan"})
    assert site.users == [str(customer.pk)]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(("token", "status"), [("Token nobody", 401), (None, 401)])
def test_refused_view_tracks_nothing(
    make_site: MakeSite, server: str, token: Any, status: int
) -> None:
    site = make_site(urls=urls(BuyWithPermission.as_view()))
    headers = {"authorization": token} if token else {}
    assert site.ask(f"{server}-sync", headers=headers).status_code == status
    assert site.events == []


def test_view_that_authenticates_late(make_site: MakeSite, customer: Customer) -> None:
    """An event in a thread waits for nobody: it bears the user who is known by then."""
    site = make_site(urls=urls(Asked.as_view()))
    site.get(headers={"authorization": "Token joan"})
    assert [(event.event, event.user_id) for event in site.events] == [
        ("Before it asks", None),
        ("Bought", str(customer.pk)),
    ]


@pytest.mark.parametrize("server", SERVERS)
def test_view_that_raises(make_site: MakeSite, customer: Customer, server: str) -> None:
    site = make_site(urls=urls(Fails.as_view()))
    response = site.ask(f"{server}-sync", headers={"authorization": "Token joan"})
    assert response.status_code == 500
    assert site.users == [str(customer.pk)]


def test_view_without_the_middleware_is_told(make_site: MakeSite) -> None:
    site = make_site(urls=urls(Buy.as_view()), middleware=(SESSION, AUTH))
    site.browser.raise_request_exception = True
    with pytest.raises(AttributeError, match="datalyr"):
        site.get()


class Keys(APIKeyHeader):
    """Take the key itself for the user, as the API's own `request.auth`."""

    param_name = "X-API-Key"

    def authenticate(self, request: HttpRequest, key: str | None) -> str | None:
        return key


@pytest.fixture
def api() -> NinjaAPI:
    return NinjaAPI(urls_namespace=f"api-{next(_names)}", openapi_url=None)


def ninja_view(api: NinjaAPI, kind: str, act: Callable[[Any], Any], **options: Any) -> Any:
    """Add an operation of a kind to an API; returns its URLs."""

    def operation(request: HttpRequest) -> dict[str, Any]:
        return {"visitor": act(request)}

    async def aoperation(request: HttpRequest) -> dict[str, Any]:
        return {"visitor": act(request)}

    api.get(f"/{kind}", **options)(operation if kind == "sync" else aoperation)
    return (path("", api.urls),)


def bought(request: Any) -> Any:
    assert current_tracker() is request.datalyr
    request.datalyr.track("Bought")
    return request.datalyr.anonymous_id


@pytest.mark.parametrize("order", [(SESSION, AUTH, OURS), (OURS, SESSION, AUTH, ASYNC_ONLY)])
def test_ninja_operation_has_visitor_and_user(
    make_site: MakeSite, api: NinjaAPI, customer: Customer, way: str, order: tuple[str, ...]
) -> None:
    site = make_site(urls=ninja_view(api, way.split("-")[1], bought), middleware=order)
    site.log_in(customer)
    site.browser.cookies["__dl_visitor_id"] = "v1"
    assert site.ask(way).json() == {"visitor": "v1"}
    (event,) = site.events
    assert (event.anonymous_id, event.user_id) == ("v1", str(customer.pk))


def test_ninja_operation_says_who_its_own_authentication_found(
    make_site: MakeSite, api: NinjaAPI, way: str
) -> None:
    def act(request: Any) -> Any:
        request.datalyr.user_id = request.auth
        return bought(request)

    site = make_site(urls=ninja_view(api, way.split("-")[1], act, auth=Keys()))
    assert site.ask(way, headers={"x-api-key": "key-7"}).status_code == 200
    assert site.users == ["key-7"]


def test_ninjas_own_authentication_by_the_option(
    make_site: MakeSite, api: NinjaAPI, way: str
) -> None:
    site = make_site(
        urls=ninja_view(api, way.split("-")[1], bought, auth=Keys()),
        user_id=lambda request: getattr(request, "auth", None),
    )
    assert site.ask(way, headers={"x-api-key": "key-7"}).status_code == 200
    assert site.users == ["key-7"]


def test_ninja_operation_that_raises(
    make_site: MakeSite, api: NinjaAPI, customer: Customer, way: str
) -> None:
    def act(request: Any) -> Any:
        bought(request)
        raise ValueError("on purpose")

    site = make_site(urls=ninja_view(api, way.split("-")[1], act))
    site.log_in(customer)
    assert site.ask(way).status_code == 500
    assert site.users == [str(customer.pk)]
