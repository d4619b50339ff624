"""The one small value at the witness that decides who serves."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """A drain stands: the leaving site is closed, or is about to be."""

    leaving: str
    seconds: float  #: counted by each watcher from when it first saw this drain
    term: int
    entry: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Who serves, and what is being done about it.

    Every change writes a new nonce and a rising revision, so that a writer
    which got no answer can read back whether it was its own that went in.
    """

    migration: str  #: digest of the plan
    revision: int
    nonce: str
    term: int  #: newest coordinator
    epoch: int
    serving: str
    lease_holder: str
    lease_seconds: float
    lease_count: int  #: renewals so far: a watcher sees that it is alive
    eligible: tuple[str, ...]
    drain: Drain | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A grant as it was read; `tag` is what compare-and-set compares."""

    grant: Grant
    tag: str
