"""Datalyr for Django.

INSTALLED_APPS = [..., "datalyr_django"]
MIDDLEWARE = [..., "datalyr_django.middleware.DatalyrMiddleware"]
DATALYR = {"API_KEY": "dk_…"}

def view(request):
    request.datalyr.track("Purchase Completed", {"amount": 99.99})
    request.datalyr.on_commit.track("Order Placed")  # unless the transaction rolls back
"""

from datalyr_django.request import DatalyrHttpRequest
from datalyr_django.settings import get_client

__all__ = ["DatalyrHttpRequest", "get_client"]
