"""The configuration, out of Flask's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask

from datalyr_core import Config


def read_config(app: Flask, options: Mapping[str, Any]) -> Config:
    """Read the `DATALYR_<OPTION>` entries of an application's configuration.

    Args:
        app: The application.
        options: Options that win over it.

    Raises:
        ConfigurationError: Something is wrong with the options; it names everything.
    """
    return Config.from_mapping(app.config.get_namespace("DATALYR_"), **options)
