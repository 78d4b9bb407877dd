"""The shop's views: each says in one line what happened."""

import hashlib
import json
import os
import secrets
from decimal import Decimal
from pathlib import Path

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from datalyr_core import webhooks
from datalyr_django import DatalyrHttpRequest, get_client

CSS = (Path(__file__).parents[2] / "shop.css").read_text()
ELSEWHERE = [pair.split("=", 1) for pair in os.environ.get("SHOP_LINKS", "").split()]
PAID = ("checkout.session.completed", "checkout.session.async_payment_succeeded")
PLANS = ("free", "pro")
PRODUCTS = {
    "beans": ("House beans", "250 g, roasted on Monday", "12.90"),
    "filter": ("Paper filters", "A hundred, unbleached", "4.50"),
    "kettle": ("Gooseneck kettle", "Pours where you look", "59.00"),
}


def user_id(request: HttpRequest) -> str | None:
    """Tell Datalyr who has signed up; asked only when an event is tracked."""
    return request.session.get("user")


@require_GET
def landing(request: DatalyrHttpRequest) -> HttpResponse:
    note(request, "$pageview", request.datalyr.page("Shop"))
    context = {
        "css": CSS,
        "elsewhere": ELSEWHERE,
        "host": get_client().config.host,
        "message": request.session.pop("message", None),
        "opted_out": request.COOKIES.get("__dl_opt_out") == "true",
        "plans": PLANS,
        # An order number for each form: sent twice, the order counts once.
        "products": [(key, *PRODUCTS[key], secrets.token_hex(8)) for key in PRODUCTS],
        "tracked": request.session.get("tracked", ()),
        "user": request.session.get("user"),
        "visitor": request.datalyr.anonymous_id,
    }
    return render(request, "shop.html", context)


@require_POST
def signup(request: DatalyrHttpRequest) -> HttpResponse:
    email, plan = request.POST.get("email", "").strip().lower(), request.POST.get("plan")
    if "@" not in email or len(email) > 200 or plan not in PLANS:
        return back(request, "That is no e-mail address.")
    user = f"user_{hashlib.sha256(email.encode()).hexdigest()[:12]}"
    note(request, "$identify", request.datalyr.identify(user, {"email": email, "plan": plan}))
    request.session["user"] = user  # what `user_id` answers from the next request on
    return back(request, f"Welcome, {email}.")


@require_POST
def buy(request: DatalyrHttpRequest) -> HttpResponse:
    product, order = request.POST.get("product"), request.POST.get("order", "")
    if product not in PRODUCTS or not order.isalnum() or len(order) > 32:
        return back(request, "That cannot be bought here.")
    name, _, price = PRODUCTS[product]
    event_id = request.datalyr.track_purchase(
        Decimal(price), "EUR", {"product": name}, event_id=f"django-{order}"
    )
    note(request, "purchase", event_id)
    return back(request, f"{name}: thank you.")


@csrf_exempt  # the sender is no browser
@require_POST
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    # A real shop lets stripe.Webhook.construct_event verify the payload's signature here.
    try:
        event = json.loads(request.body)
        session = event["data"]["object"]
        # A bank transfer completes its checkout unpaid; that it was paid is a later event.
        if event["type"] in PAID and session["payment_status"] == "paid":
            value = webhooks.stripe_amount(session["amount_total"], session["currency"])
            if value is None:
                raise ValueError("no amount")
            # Id and time are the event's own: a redelivery counts once, when it was paid.
            get_client().track_purchase(
                None,
                value,
                session["currency"],
                anonymous_id=session["client_reference_id"],
                **webhooks.stripe(event),
            )
    except (KeyError, TypeError, ValueError):
        return JsonResponse({"error": "not a payment"}, status=400)
    return JsonResponse({"received": True})


@require_POST
def consent(request: HttpRequest, tracked: bool) -> HttpResponse:
    response = back(request, f"You are {'tracked again' if tracked else 'not tracked any more'}.")
    if tracked:
        response.delete_cookie("__dl_opt_out", samesite="Lax")
    else:
        response.set_cookie("__dl_opt_out", "true", max_age=31_536_000, samesite="Lax")
    return response


def note(request: HttpRequest, event: str, event_id: str | None) -> None:
    """Remember for the page what was tracked; None says that nothing was."""
    if event_id:
        request.session["tracked"] = [(event, event_id), *request.session.get("tracked", ())][:5]


def back(request: HttpRequest, message: str) -> HttpResponse:
    """Redirect after a POST, so that reloading the page sends nothing again."""
    request.session["message"] = message
    response = redirect("/")
    response.status_code = 303
    return response
