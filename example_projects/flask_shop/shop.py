"""A small shop on Flask that tells Datalyr what its visitors do."""

import base64
import hashlib
import hmac
import os
import secrets
from decimal import Decimal
from pathlib import Path

from flask import Flask, redirect, render_template, request, session
from werkzeug.wrappers import Response

from datalyr_core import webhooks
from datalyr_flask import FlaskDatalyr, current_datalyr

CSS = (Path(__file__).parents[1] / "shop.css").read_text()
ELSEWHERE = [pair.split("=", 1) for pair in os.environ.get("SHOP_LINKS", "").split()]
PAID = ("checkout.session.completed", "checkout.session.async_payment_succeeded")
PLANS = ("free", "pro")
PRODUCTS = {
    "sencha": ("Sencha", "100 g, first harvest", "14.20"),
    "pot": ("Small teapot", "Holds two cups, drips none", "32.00"),
    "spoon": ("Bamboo spoon", "One heaped is one cup", "3.80"),
}
SHOPIFY_SECRET = os.environ.get("SHOPIFY_SECRET", "")  # none: nothing is Shopify's

app = Flask(__name__)
app.config.update(
    # A random key ends all sessions at a restart.
    SECRET_KEY=os.environ.get("SECRET_KEY") or secrets.token_hex(32),
    # Cookies do not tell ports apart: the shops on this machine need names of their own.
    SESSION_COOKIE_NAME="flask_shop",
    SESSION_COOKIE_SAMESITE="Lax",
    DATALYR_API_KEY="dk_demo",
    DATALYR_HOST=os.environ.get("DATALYR_HOST", "http://127.0.0.1:8765/track"),
    DATALYR_FLUSH_INTERVAL=1,  # a person is watching
    DATALYR_SET_VISITOR_COOKIE=True,  # works without the browser SDK
    DATALYR_USER_ID=lambda request: session.get("user"),  # asked only when an event is tracked
    DATALYR_WORKSPACE_ID=os.environ.get("DATALYR_WORKSPACE_ID") or None,
)
FlaskDatalyr(app)


@app.get("/")
def landing() -> str:
    note("$pageview", current_datalyr.page("Shop"))
    return render_template(
        "shop.html",
        css=CSS,
        elsewhere=ELSEWHERE,
        host=app.config["DATALYR_HOST"],
        message=session.pop("message", None),
        opted_out=request.cookies.get("__dl_opt_out") == "true",
        plans=PLANS,
        # An order number for each form: sent twice, the order counts once.
        products=[(key, *PRODUCTS[key], secrets.token_hex(8)) for key in PRODUCTS],
        tracked=session.get("tracked", ()),
        user=session.get("user"),
        visitor=current_datalyr.anonymous_id,
    )


@app.post("/signup")
def signup() -> Response:
    email, plan = request.form.get("email", "").strip().lower(), request.form.get("plan")
    if "@" not in email or len(email) > 200 or plan not in PLANS:
        return back("That is no e-mail address.")
    user = f"user_{hashlib.sha256(email.encode()).hexdigest()[:12]}"
    note("$identify", current_datalyr.identify(user, {"email": email, "plan": plan}))
    session["user"] = user  # what DATALYR_USER_ID answers from the next request on
    return back(f"Welcome, {email}.")


@app.post("/buy")
def buy() -> Response:
    product, order = request.form.get("product"), request.form.get("order", "")
    if product not in PRODUCTS or not order.isalnum() or len(order) > 32:
        return back("That cannot be bought here.")
    name, _, price = PRODUCTS[product]
    event_id = current_datalyr.track_purchase(
        Decimal(price), "EUR", {"product": name}, event_id=f"flask-{order}"
    )
    note("purchase", event_id)
    return back(f"{name}: thank you.")


@app.post("/webhook")
def stripe_webhook() -> dict[str, bool] | tuple[dict[str, str], int]:
    # A real shop lets stripe.Webhook.construct_event verify the payload's signature here.
    try:
        event = request.get_json()
        session = event["data"]["object"]
        # A bank transfer completes its checkout unpaid; that it was paid is a later event.
        if event["type"] in PAID and session["payment_status"] == "paid":
            value = webhooks.stripe_amount(session["amount_total"], session["currency"])
            if value is None:
                raise ValueError("no amount")
            # Id and time are the event's own: a redelivery counts once, when it was paid.
            app.extensions["datalyr"].track_purchase(
                None,
                value,
                session["currency"],
                anonymous_id=session["client_reference_id"],
                **webhooks.stripe(event),
            )
    except (KeyError, TypeError, ValueError):
        return {"error": "not a payment"}, 400
    return {"received": True}


@app.post("/webhook/shopify")
def shopify_webhook() -> dict[str, bool] | tuple[dict[str, str], int]:
    if not is_shopifys(request.get_data(), request.headers.get("X-Shopify-Hmac-Sha256", "")):
        return {"error": "not signed by Shopify"}, 401
    try:
        order = request.get_json()
        # The theme has put the visitor's cookie into the cart's attributes.
        noted = {note["name"]: note["value"] for note in order["note_attributes"]}
        # One topic alone: other topics of the same purchase may carry the same event id.
        if request.headers.get("X-Shopify-Topic") == "orders/paid":
            app.extensions["datalyr"].track_purchase(
                None,
                webhooks.shopify_amount(order),
                webhooks.shopify_currency(order),
                anonymous_id=noted["__dl_visitor_id"],
                **webhooks.shopify(request.headers),
            )
    except (KeyError, TypeError):
        return {"error": "not an order"}, 400
    return {"received": True}


def is_shopifys(body: bytes, signature: str) -> bool:
    """Verify a webhook: base64 of the raw body's HMAC-SHA256 under the app's client secret."""
    digest = hmac.new(SHOPIFY_SECRET.encode(), body, hashlib.sha256).digest()
    signed = hmac.compare_digest(base64.b64encode(digest), signature.encode())
    return signed and bool(SHOPIFY_SECRET)


@app.post("/opt-out")
def opt_out() -> Response:
    response = back("You are not tracked any more.")
    response.set_cookie("__dl_opt_out", "true", max_age=31_536_000, samesite="Lax")
    return response


@app.post("/opt-in")
def opt_in() -> Response:
    response = back("You are tracked again.")
    response.delete_cookie("__dl_opt_out", samesite="Lax")
    return response


def note(event: str, event_id: str | None) -> None:
    """Remember for the page what was tracked; None says that nothing was."""
    if event_id:
        session["tracked"] = [(event, event_id), *session.get("tracked", ())][:5]


def back(message: str) -> Response:
    """Redirect after a POST, so that reloading the page sends nothing again."""
    session["message"] = message
    return redirect("/", code=303)
