"""The configuration, out of Django's settings, and the process's client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils.module_loading import import_string

import datalyr_core
from datalyr_core.errors import ConfigurationError

if TYPE_CHECKING:
    from datalyr_core import Config, Datalyr

SETTING = "DATALYR"
# Settings cannot name a function before the applications are loaded; a dotted path can.
_FUNCTIONS = frozenset({"on_error", "on_drop", "before_send", "user_id", "exclude"})

_clients: dict[str, Datalyr] = {}


def get_client() -> datalyr_core.Datalyr:
    """Return the process's client, which is made from `settings.DATALYR` when first asked for.

    Raises:
        ConfigurationError: Something is wrong with the setting; it names everything.
    """
    client = _clients.get(SETTING)
    if client is None:
        from datalyr_core import Datalyr  # by now, as a rule, applications are loaded

        client = _clients.setdefault(SETTING, Datalyr(read_config()))
    return client


def read_config() -> Config:
    """Read `settings.DATALYR`; hooks and callables may be dotted paths.

    Raises:
        ConfigurationError: Something is wrong with the setting.
    """
    from datalyr_core import Config

    given = getattr(settings, SETTING, None)
    if given is None:
        raise ConfigurationError(f'{SETTING} is not set; write {SETTING} = {{"API_KEY": "dk_…"}}')
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f'{SETTING} is a {type(given).__name__}; write {SETTING} = {{"API_KEY": "dk_…"}}'
        )
    loaded = {name: _loaded(name, value) for name, value in given.items()}
    try:
        return Config.from_mapping(loaded)
    except ConfigurationError as problem:
        lost = (value.error for value in loaded.values() if isinstance(value, _Lost))
        raise problem from next(lost, None)


def forget_client(**changed: Any) -> None:
    """Close the client, so that the next one reads the settings anew.

    Args:
        **changed: What Django's `setting_changed` signal says; other settings do not matter.
    """
    if changed.get("setting", SETTING) == SETTING:
        client = _clients.pop(SETTING, None)
        if client is not None:
            client.close(client.config.exit_timeout)


class _Lost:
    """Stand for a function that cannot be imported: a value that no option takes.

    So the dotted path is named beside all other problems.
    """

    def __init__(self, path: str, error: Exception) -> None:
        """Keep the dotted path, and why it leads nowhere."""
        self.path = path
        self.error = error

    def __repr__(self) -> str:
        return f"{self.path!r}, which cannot be imported ({self.error})"


def _loaded(name: object, value: object) -> object:
    """Import a function that is given by its dotted path."""
    is_path = isinstance(value, str) and "." in value and "/" not in value
    if str(name).lower() not in _FUNCTIONS or not is_path:
        return value
    path = str(value)
    try:
        return import_string(path)
    except Exception as error:  # ValueError for ".a", TypeError for ".a.b", or the module's own
        return _Lost(path, error)
