"""A program that tracks, in a child of some kind too, and ends: a cron job, a command.

`python -m tests.live.soak.apps.job TOKEN VISITOR USER METHOD MANY`
"""

from __future__ import annotations

import sys

from datalyr_core import Datalyr
from tests.live.soak.apps import views
from tests.live.soak.apps.views import Visit


def main(token: str, visitor: str, user: str, method: str, many: str) -> None:
    client = Datalyr.from_env(**views.HOOKS)
    views.fork(client, Visit(token, visitor, user), method, int(many))


if __name__ == "__main__":
    main(*sys.argv[1:])
