"""Datalyr for Starlette and FastAPI.

app.add_middleware(DatalyrMiddleware, api_key="dk_…")

async def view(request):
    request.datalyr.track("Purchase Completed", {"amount": 99.99})
"""

from datalyr_starlette.middleware import DatalyrMiddleware
from datalyr_starlette.request import DatalyrRequest, get_tracker

__all__ = ["DatalyrMiddleware", "DatalyrRequest", "get_tracker"]
