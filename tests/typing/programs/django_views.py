from typing import assert_type

from django.contrib.auth.decorators import login_required
from django.db.models import Model
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_POST
from django.views.generic import CreateView, View

from datalyr_core import Datalyr, Tracker
from datalyr_django import DatalyrHttpRequest, get_client


def buy(request: DatalyrHttpRequest) -> HttpResponse:
    tracker: Tracker = request.datalyr
    assert_type(tracker.client, Datalyr | None)
    assert_type(request.datalyr.on_commit.track("Bought"), str | None)
    assert_type(request.datalyr.on_commit(using="other").identify(7), str | None)
    request.datalyr.on_commit(7)  # wrong: a database is named by its alias
    assert_type(request.datalyr.track("Bought", {"price": 9}, event_id="e"), str | None)
    assert_type(request.datalyr.anonymous_id, str | None)
    request.datalyr.user_id = 7
    request.datalyr.anonymous_id = "anon_1"  # wrong: the visitor's own
    request.datalyr.track("Bought", price=9)  # wrong: properties are a mapping
    request.datalyr.track_purchase(9, 978)  # wrong: a currency is a string
    return HttpResponse(request.GET["q"])


async def abuy(request: DatalyrHttpRequest) -> HttpResponse:
    request.datalyr.page("Shop")
    await request.datalyr.track("Bought")  # wrong: nothing to wait for
    return HttpResponse()


@require_POST
@login_required
def decorated(request: DatalyrHttpRequest) -> HttpResponse:
    request.datalyr.group("company", {"name": "Acme"})
    return HttpResponse()


def plain(request: HttpRequest) -> HttpResponse:
    request.datalyr.track("Bought")  # wrong: Django's own request does not say that it is there
    return HttpResponse()


class Buy(View):
    def post(self, request: DatalyrHttpRequest, pk: int) -> HttpResponse:
        request.datalyr.track("Bought", {"pk": pk})
        request.datalyr.tracks("Bought")  # wrong: no such call
        return HttpResponse()


class Shop(View):
    async def get(self, request: DatalyrHttpRequest) -> HttpResponse:
        request.datalyr.identify("u", {"plan": "pro"})
        return HttpResponse()


class SignUp(CreateView[Model, ModelForm[Model]]):
    request: DatalyrHttpRequest  # pyright: ignore[reportIncompatibleVariableOverride]

    def form_valid(self, form: ModelForm[Model]) -> HttpResponse:
        self.request.datalyr.track("Signed Up", form.cleaned_data)
        self.request.datalyr.track(form)  # wrong: a name is a string
        return super().form_valid(form)


assert_type(get_client(), Datalyr)
print(get_client().request)  # wrong: the client is of no request
urlpatterns = [path("buy", buy), path("abuy", abuy), path("by/<int:pk>", Buy.as_view())]
