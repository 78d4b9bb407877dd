"""Values of Django's own kinds in an event's properties."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpResponse
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import mark_safe
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy, override

from tests.django.conftest import OURS, MakeSite

DAY = gettext_lazy("Monday")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (DAY, "Montag"),
        (format_lazy("{}!", DAY), "Montag!"),
        (SimpleLazyObject(lambda: "tea"), "tea"),
        (mark_safe("<b>"), "<b>"),
    ],
    ids=["gettext_lazy", "format_lazy", "SimpleLazyObject", "mark_safe"],
)
def test_lazy_text_is_told_in_the_language_of_the_call(
    make_site: MakeSite, way: str, value: Any, text: str
) -> None:
    def view(request: Any) -> HttpResponse:
        with override("de"):
            request.datalyr.track("Booked", {"value": [value], value: 1})
        return HttpResponse()

    site = make_site(view, middleware=(OURS,))
    assert site.ask(way).status_code == 200
    (event,) = site.events
    assert event.properties["value"] == [text]
    assert event.properties[text] == 1
