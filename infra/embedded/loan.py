"""A stack that stands, lent to drills: who has it, and what it was before they came.

    stacks/NAME/lent.json     the description as it was: written before the first change, gone after the last
    stacks/NAME/borrower      locked by the harness that has the stack

Drills have runs of their own beside the one that the stack served, whose databases
and buckets they leave alone. A harness that was killed leaves `lent.json` behind:
whoever takes the stack next, or asks for it to be given back, learns from it what to restore.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.embedded.errors import NoSuchStack, StackError, StackInUse
from infra.embedded.state import StackFolder, StateFolder, is_locked, take_lock, write_file


@dataclass(frozen=True, slots=True)
class Loan:
    """One stack in the hands of a harness."""

    folder: StackFolder
    before: str  #: stack.json as it was when nobody had borrowed the stack
    _lock: int

    @classmethod
    def take(cls, folder: StackFolder) -> "Loan":
        """Take a stack that stands. Raises NoSuchStack, and StackInUse while a living harness has it."""
        with StateFolder.open().allocating():
            if not _stands(folder):
                raise NoSuchStack(f"no stack {folder.name!r} is up to stay")
            lock = _taken(folder)
            if not is_lent(folder):
                write_file(_lent(folder), folder.description.read_text())
            return cls(folder, _lent(folder).read_text(), lock)

    def settle(self) -> None:
        """Note that the stack is again what it was."""
        _lent(self.folder).unlink(missing_ok=True)

    def let_go(self) -> None:
        """Leave the stack to others; one that was not settled stays lent, to nobody."""
        os.close(self._lock)


def is_lent(folder: StackFolder) -> bool:
    """Say whether a stack serves a run of drills, whether or not the harness lives."""
    return _lent(folder).exists()


def must_be_free(folder: StackFolder) -> None:
    """Raise StackInUse while a living harness has the stack."""
    with StateFolder.open().allocating():
        if is_lent(folder) and is_locked(_borrower(folder)):
            raise StackInUse(f"a harness drills on {folder.name}; wait until it has ended")


@contextmanager
def held(folder: StackFolder) -> Iterator[None]:
    """Lend a stack to nobody while whoever brought it up drills on it. Raises StackInUse."""
    lock = _taken(folder)
    try:
        yield
    finally:
        os.close(lock)


def _stands(folder: StackFolder) -> bool:
    """Say whether a stack was brought up to the end, and stays when its harness goes."""
    if not folder.description.exists() or not (folder.path / "outputs.json").exists():
        return False
    return bool(json.loads(folder.description.read_text()).get("keep"))


def _taken(folder: StackFolder) -> int:
    try:
        return take_lock(_borrower(folder))
    except StackInUse:
        raise StackInUse(f"another harness drills on {folder.name}; wait until it has ended") from None


def must_keep_databases(extras: Mapping[str, Mapping[str, object]] | None) -> None:
    """Raise StackError for other settings of databases that hold what is not the drills' own."""
    if any(told and process.endswith("postgres") for process, told in (extras or {}).items()):
        raise StackError(
            "the databases of a stack that stands keep their settings: put this planted bug into a stack "
            "that the drills bring up, --stack embedded or --stack docker"
        )


def must_not_be_own(run: int, own: int) -> None:
    """Raise StackError before the run that a stack served itself would be dropped as one of the drills'."""
    if run == own:
        raise StackError(f"run r{own} is the stack's own: it is not ended, and nothing of it is removed")


def unused_run() -> int:
    """Return a number that no run of a stack had, whichever machine it was drilled on from."""
    return int(time.time())


def _lent(folder: StackFolder) -> Path:
    return folder.path / "lent.json"


def _borrower(folder: StackFolder) -> Path:
    return folder.path / "borrower"
