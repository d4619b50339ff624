"""How versitygw is started: plain data, for a process as for a container.

Objects are files below the data folder, and what belongs to an object (its
ETag, its metadata) lies in the file's extended attributes. Never `--sidecar`,
which keeps them in files of their own: after a kill a body stood there with the
metadata of another one. Secrets travel in files and in the environment.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.embedded.state import own_folder, write_file

ADMIN = "admin"
"""Role of every account: each may do everything at its store, as with our own server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A program and what it is started with."""

    argv: list[str]
    env: Mapping[str, str]


def launch(program: str, *, host: str, port: int, region: str, data: str, accounts: str) -> Launch:
    """Return how to start one server; `data` and `accounts` are the folders that `prepare` made.

    It insists on a root account of its own. Nobody is told that one: its secret
    is made here, anew at each start.
    """
    argv = [program, "--port", f"{host}:{port}", "--region", region, "--keep-alive", "--quiet"]
    root = {"ROOT_ACCESS_KEY": "root-unused", "ROOT_SECRET_KEY": secrets.token_urlsafe(24)}
    return Launch(argv=[*argv, "--iam-dir", accounts, "posix", data], env=root)


def prepare(data: Path, accounts: Path, keys: Mapping[str, str]) -> None:
    """Make the folders, with one account for each access key and its secret."""
    data.mkdir(parents=True, exist_ok=True)
    own_folder(accounts, 0o700)
    write_file(accounts / "users.json", accounts_document(keys))


def accounts_document(keys: Mapping[str, str]) -> str:
    """Return the file of accounts as versitygw keeps it."""
    table = {
        access: {"access": access, "secret": secret, "role": ADMIN, "userID": 0, "groupID": 0, "projectID": 0}
        for access, secret in keys.items()
    }
    return json.dumps({"accessAccounts": table})
