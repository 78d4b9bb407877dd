"""An example of an application for each framework, with Datalyr and without it.

`BENCHMARK_OPTIONS` holds the client's options as JSON; without them there is no Datalyr.
"""

from __future__ import annotations

import json
import os
from typing import Any

OPTIONS: dict[str, Any] | None = json.loads(os.environ.get("BENCHMARK_OPTIONS", "null"))
NAME = "Products Viewed"
PROPERTIES = {"category": "tea", "currency": "EUR", "plan": "pro", "items": 50}


def page() -> str:
    """Make the answer: what a view does with rows that it has got."""
    products = [
        {"id": number, "name": f"Tea no. {number}", "price": (number * 37) % 100 / 4}
        for number in range(50)
    ]
    products.sort(key=lambda product: product["price"])
    return json.dumps({"products": products, "total": sum(each["price"] for each in products)})
