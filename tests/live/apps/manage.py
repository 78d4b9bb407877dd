"""The Django project's `manage.py`: `python -m tests.live.apps.manage COMMAND`."""

import sys

from django.core.management import execute_from_command_line

import tests.live.apps.django_app  # noqa: F401 - it is the settings

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
