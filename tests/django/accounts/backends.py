"""Authentication that is not Django's own."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend

from tests.django.accounts.models import Customer


class ByKey(BaseBackend):
    """Know customers by their keys, and nothing of passwords or permissions."""

    def get_user(self, user_id: Any) -> Customer | None:
        return Customer.objects.filter(pk=user_id).first()
