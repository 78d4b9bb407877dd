"""An application's client, as Flask's own configuration wants it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import Flask

if TYPE_CHECKING:
    from datalyr_core import Datalyr


def make_client(app: Flask, options: Mapping[str, Any]) -> Datalyr:
    """Make a client of the `DATALYR_<OPTION>` entries of an application's configuration.

    Args:
        app: The application.
        options: Options that win over it.

    Raises:
        ConfigurationError: Something is wrong with the options; it names everything.
    """
    # Not with the plugin: whoever gives a client of their own has imported it already.
    from datalyr_core import Config, Datalyr

    return Datalyr(Config.from_mapping(app.config.get_namespace("DATALYR_"), **options))
