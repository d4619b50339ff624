"""Grants and entries to write, each with every field set."""

from cutover.model.journal import Entry, Kind
from cutover.model.register import Drain, Grant


def grant(nonce: str, *, revision: int = 1, serving: str = "east") -> Grant:
    """A grant with a standing drain."""
    return Grant(
        migration="sha256:plan",
        revision=revision,
        nonce=nonce,
        term=3,
        epoch=7,
        serving=serving,
        lease_holder="east/1",
        lease_seconds=3.0,
        lease_count=41,
        eligible=("east", "west"),
        drain=Drain(leaving="east", seconds=20.0, term=3, entry=12),
    )


def entry(n: int, nonce: str = "ours") -> Entry:
    """A decision with two actions and nested facts."""
    return Entry(
        n=n,
        term=3,
        kind=Kind.MOVE,
        nonce=nonce,
        stage="drain",
        direction="forward",
        actions=({"action": "close-site", "site": "east"}, {"action": "move-sequences", "site": "west"}),
        facts={"lag_seconds": 0.25, "tables": ["public.notes"], "länge": {"rows": 3, "last": None}},
        because="the lag is 0.25 s — small enough",
        at="2026-01-02T03:04:05.678+00:00",
    )
