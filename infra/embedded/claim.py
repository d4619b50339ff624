"""Taking a name and a block of ports for a new stack, so that no other stack has them."""

import hashlib
import json
import os
import re
from dataclasses import replace

from infra.embedded.description import Description
from infra.embedded.errors import StackError, StackInUse
from infra.embedded.ports import BLOCK, FIRST, LAST, choose
from infra.embedded.state import StateFolder, take_lock
from infra.topology import two_sites

NAME = re.compile(r"[a-z][a-z0-9-]{0,23}")
"""Names become parts of socket paths, which are short, and of keys at the witness."""


def free_name(state: StateFolder) -> str:
    """Return a name that no stack of this user has."""
    used = {folder.name for folder in state.stacks()}
    return next(name for n in range(1000) if (name := f"drill-{os.getpid()}-{n}") not in used)


def claim(state: StateFolder, description: Description) -> tuple[Description, int]:
    """Take the name and a block of ports for a stack; raise StackInUse when the name is taken.

    Returns the lock too: it is handed to the supervisor, so that at no moment
    the stack looks like one that a dead harness left behind.
    """
    if not NAME.fullmatch(description.name):
        raise StackError(
            f"{description.name!r} is no name for a stack: lower case letters, digits, -; 24 at most"
        )
    folder = state.stack(description.name)
    with state.allocating():
        if folder.path.exists():
            raise StackInUse(f"stack {description.name!r} is up; attach to it, or take it down first")
        ports = choose(two_sites(), _ports_taken(state), _first_try(description.name))
        folder.make()
        claimed = replace(description, ports=ports)
        claimed.save(folder)
        return claimed, take_lock(folder.lock)


def _ports_taken(state: StateFolder) -> list[int]:
    """Return the first port of every stack, also of one of another version whose rest we cannot read."""
    described = [folder.description for folder in state.stacks() if folder.description.exists()]
    return [min(json.loads(file.read_text())["ports"].values()) for file in described]


def _first_try(name: str) -> int:
    """Spread stacks over the blocks, so that two users rarely try the same one at the same time."""
    digest = hashlib.sha256(f"{os.geteuid()}:{name}".encode()).digest()
    return int.from_bytes(digest[:4]) % len(range(FIRST, LAST, BLOCK))
