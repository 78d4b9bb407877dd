"""Which view answers where."""

from django.urls import path

from shop import views

urlpatterns = [
    path("", views.landing),
    path("signup", views.signup),
    path("buy", views.buy),
    path("webhook", views.stripe_webhook),
    path("opt-out", views.consent, {"tracked": False}),
    path("opt-in", views.consent, {"tracked": True}),
]
