"""A small shop on FastAPI that tells Datalyr what its visitors do."""

import hashlib
import os
import secrets
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, FastAPI, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.templating import Jinja2Templates
from starlette.middleware.sessions import SessionMiddleware

from datalyr_core import webhooks
from datalyr_starlette import DatalyrMiddleware
from datalyr_starlette.fastapi import DatalyrDep
from datalyr_starlette.templating import install

CSS = (Path(__file__).parents[1] / "shop.css").read_text()
ELSEWHERE = [pair.split("=", 1) for pair in os.environ.get("SHOP_LINKS", "").split()]
PAID = ("checkout.session.completed", "checkout.session.async_payment_succeeded")
PLANS = ("free", "pro")
PRODUCTS = {
    "dark": ("Dark chocolate", "82 %, from one valley", "6.40"),
    "cocoa": ("Drinking cocoa", "For twelve late evenings", "9.80"),
    "whisk": ("Wooden whisk", "Turned from one piece", "18.00"),
}

app = FastAPI()
app.add_middleware(
    DatalyrMiddleware,
    api_key="dk_demo",
    host=os.environ.get("DATALYR_HOST", "http://127.0.0.1:8765/track"),
    flush_interval=1,  # a person is watching
    set_visitor_cookie=True,  # works without the browser SDK
    user_id=lambda request: request.session.get("user"),  # asked only when an event is tracked
    workspace_id=os.environ.get("DATALYR_WORKSPACE_ID") or None,
)
app.add_middleware(
    SessionMiddleware,
    # A random key ends all sessions at a restart.
    secret_key=os.environ.get("SECRET_KEY") or secrets.token_hex(32),
    # Cookies do not tell ports apart: the shops on this machine need names of their own.
    session_cookie="fastapi_shop",
)
templates = install(Jinja2Templates(Path(__file__).with_name("templates")))


@app.get("/")
async def landing(request: Request, datalyr: DatalyrDep) -> HTMLResponse:
    note(request, "$pageview", datalyr.page("Shop"))
    config = app.state.datalyr.config
    context = {
        "css": CSS,
        "elsewhere": ELSEWHERE,
        "host": config.host,
        "message": request.session.pop("message", None),
        "opted_out": request.cookies.get("__dl_opt_out") == "true",
        "plans": PLANS,
        # An order number for each form: sent twice, the order counts once.
        "products": [(key, *PRODUCTS[key], secrets.token_hex(8)) for key in PRODUCTS],
        "tracked": request.session.get("tracked", ()),
        "user": request.session.get("user"),
        "visitor": datalyr.anonymous_id,
    }
    return templates.TemplateResponse(request, "shop.html", context)


@app.post("/signup")
async def signup(
    request: Request,
    datalyr: DatalyrDep,
    email: Annotated[str, Form()] = "",
    plan: Annotated[str, Form()] = "",
) -> RedirectResponse:
    email = email.strip().lower()
    if "@" not in email or len(email) > 200 or plan not in PLANS:
        return back(request, "That is no e-mail address.")
    user = f"user_{hashlib.sha256(email.encode()).hexdigest()[:12]}"
    note(request, "$identify", datalyr.identify(user, {"email": email, "plan": plan}))
    request.session["user"] = user  # what `user_id` answers from the next request on
    return back(request, f"Welcome, {email}.")


@app.post("/buy")
def buy(  # a plain function runs in a thread, and its tracker is still the request's own
    request: Request,
    datalyr: DatalyrDep,
    product: Annotated[str, Form()] = "",
    order: Annotated[str, Form()] = "",
) -> RedirectResponse:
    if product not in PRODUCTS or not order.isalnum() or len(order) > 32:
        return back(request, "That cannot be bought here.")
    name, _, price = PRODUCTS[product]
    event_id = datalyr.track_purchase(
        Decimal(price), "EUR", {"product": name}, event_id=f"fastapi-{order}"
    )
    note(request, "purchase", event_id)
    return back(request, f"{name}: thank you.")


@app.post("/webhook")
async def stripe_webhook(event: Annotated[dict[str, Any], Body()]) -> dict[str, bool]:
    # A real shop lets stripe.Webhook.construct_event verify the payload's signature here.
    try:
        session = event["data"]["object"]
        # A bank transfer completes its checkout unpaid; that it was paid is a later event.
        if event["type"] in PAID and session["payment_status"] == "paid":
            value = webhooks.stripe_amount(session["amount_total"], session["currency"])
            if value is None:
                raise ValueError("no amount")
            # Id and time are the event's own: a redelivery counts once, when it was paid.
            app.state.datalyr.track_purchase(
                None,
                value,
                session["currency"],
                anonymous_id=session["client_reference_id"],
                **webhooks.stripe(event),
            )
    except (KeyError, TypeError, ValueError) as error:
        raise HTTPException(400, "not a payment") from error
    return {"received": True}


@app.post("/opt-out")
async def opt_out(request: Request) -> RedirectResponse:
    response = back(request, "You are not tracked any more.")
    response.set_cookie("__dl_opt_out", "true", max_age=31_536_000, samesite="lax")
    return response


@app.post("/opt-in")
async def opt_in(request: Request) -> RedirectResponse:
    response = back(request, "You are tracked again.")
    response.delete_cookie("__dl_opt_out", samesite="lax")
    return response


def note(request: Request, event: str, event_id: str | None) -> None:
    """Remember for the page what was tracked; None says that nothing was."""
    if event_id:
        request.session["tracked"] = [(event, event_id), *request.session.get("tracked", ())][:5]


def back(request: Request, message: str) -> RedirectResponse:
    """Redirect after a POST, so that reloading the page sends nothing again."""
    request.session["message"] = message
    return RedirectResponse("/", status_code=303)
