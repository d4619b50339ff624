"""Databases of single runs, made and dropped from outside.

docker exec CONTAINER python3 -m infra.images.databases create|drop NAME
"""

import argparse
import asyncio
import sys

import psycopg

from infra.embedded.databases import create_run, drop_run
from infra.images.places import TASK
from infra.images.server import server_of
from infra.images.task import PostgresTask, read_task
from infra.images.user import become_user

FAILED = 70


def main() -> int:
    """Do what the command line says over the server's socket; exit status 0, or 70 with the reason."""
    parser = argparse.ArgumentParser(prog="python3 -m infra.images.databases", description=__doc__)
    parser.add_argument("do", choices=("create", "drop"))
    parser.add_argument("name")
    told = parser.parse_args()
    become_user()
    task = read_task(TASK)
    if not isinstance(task, PostgresTask):
        sys.stderr.write("no PostgreSQL runs in this container\n")
        return FAILED
    server = server_of(task)
    try:
        asyncio.run((create_run if told.do == "create" else drop_run)(server, told.name))
    except psycopg.Error as error:
        sys.stderr.write(f"{told.do} {told.name}: {error}\n")
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
