"""Taking a name and a block of ports for a new stack, so that no other stack has them."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace

from infra.embedded.description import Description
from infra.embedded.errors import StackError, StackInUse
from infra.embedded.ports import BLOCK, FIRST, LAST, choose
from infra.embedded.state import StackFolder, StateFolder, take_lock
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
    claimed = description

    def save(folder: StackFolder) -> None:
        nonlocal claimed
        ports = choose(two_sites(), _ports_taken(state), _first_try(description.name))
        claimed = replace(description, ports=ports)
        claimed.save(folder)

    lock = take(state, description.name, save)
    return claimed, lock


def take(state: StateFolder, name: str, save: Callable[[StackFolder], None]) -> int:
    """Make the folders of a stack and return its lock; `save` describes it while nobody else allocates.

    Raises StackInUse when the name is taken, StackError when it is no name.
    """
    if not NAME.fullmatch(name):
        raise StackError(f"{name!r} is no name for a stack: lower case letters, digits, -; 24 at most")
    folder = state.stack(name)
    with state.allocating():
        if folder.path.exists():
            raise StackInUse(f"stack {name!r} is up: use it, or take it down first")
        folder.make()
        try:
            save(folder)
        except BaseException:
            shutil.rmtree(folder.path, ignore_errors=True)
            shutil.rmtree(folder.reach, ignore_errors=True)
            raise
        return take_lock(folder.lock)


def _ports_taken(state: StateFolder) -> list[int]:
    """Return the first port of every stack that has any, also of one of another version."""
    described = [folder.description for folder in state.stacks() if folder.description.exists()]
    ports = [json.loads(file.read_text()).get("ports") for file in described]
    return [min(one.values()) for one in ports if one]


def _first_try(name: str) -> int:
    """Spread stacks over the blocks, so that two users rarely try the same one at the same time."""
    digest = hashlib.sha256(f"{os.geteuid()}:{name}".encode()).digest()
    return int.from_bytes(digest[:4]) % len(range(FIRST, LAST, BLOCK))
