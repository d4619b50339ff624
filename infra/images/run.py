"""The first process of every container: prepares as root, then serves as an ordinary user.

What to run stands in `service.json` (see task.py). A service runs in this
process; PostgreSQL replaces it, so that whoever ends the container ends the
server, and nothing stands in between.
"""

import os
import sys

from infra.images.places import READY, TASK
from infra.images.task import PostgresTask, ServiceTask, read_task
from infra.images.user import become_user, prepare_folders

FAILED = 70

WRONG_TASK = 78
"""Exit status when `service.json` cannot be read (EX_CONFIG): starting again will not help."""


def main() -> int:
    """Run what the container was told to; return its exit status."""
    prepare_folders()
    become_user()
    try:
        task = read_task(TASK)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return WRONG_TASK
    return _run_postgres(task) if isinstance(task, PostgresTask) else _run_service(task)


def _run_service(task: ServiceTask) -> int:
    from infra.embedded.child import run_service

    ready = os.open(READY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    return run_service(task.entry, task.settings, ready, fast=task.fast)


def _run_postgres(task: PostgresTask) -> int:
    import psycopg

    from infra.embedded.errors import StackError
    from infra.images.server import run_server

    try:
        return run_server(task)
    except (OSError, ValueError, StackError, psycopg.Error) as error:
        sys.stderr.write(f"PostgreSQL was not started: {type(error).__name__}: {error}\n")
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
