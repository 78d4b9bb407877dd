"""Answers in JSON, also for strings that UTF-8 cannot hold."""

from __future__ import annotations

from starlette.responses import Response

from .wire_json import encode


def json_response(content: object, status: int = 200) -> Response:
    """Answer with JSON.

    Args:
        content: What to write.
        status: The status.

    Returns:
        The response.
    """
    return Response(encode(content), status, media_type="application/json")


def failure(status: int, message: str) -> Response:
    """Answer with a failure.

    Args:
        status: The status.
        message: What is wrong, and what would be right.

    Returns:
        The response.
    """
    return json_response({"success": False, "error": message}, status)
