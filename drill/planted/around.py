"""Wrapping ports: what a variant does not change is the inner one's."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from cutover.engine.parts import Parts
from cutover.model.change import Change, Delete, Insert, Transaction, Truncate, Update
from cutover.ports.database import Applier, Aside, SiteDatabase

Rewrite = Callable[[Change], Awaitable[Sequence[Change]]]
"""What becomes of one change: itself, another, or none."""


class Around:
    """A port; a subclass says which of its methods are other ones."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Posing:
    """A memory server of which one thing seems otherwise: what a subclass says of its class."""

    def __init__(self, server: Any) -> None:
        object.__setattr__(self, "_server", server)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._server, name, value)


class Rewriting(Around):
    """An applier that makes something else of what comes in the log; chunks are placed as they are."""

    def __init__(self, inner: Applier, rewrite: Rewrite) -> None:
        super().__init__(inner)
        self._rewrite = rewrite

    async def apply(self, batch: Sequence[Transaction], **told: Any) -> Collection[Aside]:
        """As the port says, but for the changes."""
        rewritten = [replace(one, changes=await self._rewritten(one.changes)) for one in batch]
        answer: Collection[Aside] = await self._inner.apply(rewritten, **told)
        return answer

    async def _rewritten(self, changes: Sequence[Change]) -> tuple[Change, ...]:
        made: list[Change] = []
        for change in changes:
            made += await self._rewrite(change)
        return tuple(made)


def around_appliers(parts: Parts, wrap: Callable[[str, Applier], Any]) -> Parts:
    """Parts whose appliers are what `wrap` makes of each site's."""
    return replace(parts, appliers={site: wrap(site, inner) for site, inner in parts.appliers.items()})


def around_sites(parts: Parts, wrap: Callable[[str, SiteDatabase], Any]) -> Parts:
    """Parts whose site databases are what `wrap` makes of each."""
    return replace(parts, sites={site: wrap(site, inner) for site, inner in parts.sites.items()})


def without_changes(parts: Parts, unwanted: Callable[[Change], bool]) -> Parts:
    """Parts whose appliers leave such changes out."""

    async def rewrite(change: Change) -> Sequence[Change]:
        return () if unwanted(change) else (change,)

    return around_appliers(parts, lambda _, inner: Rewriting(inner, rewrite))


def is_of(change: Change, table: str) -> bool:
    """Whether a change writes or deletes one row of `table`."""
    return not isinstance(change, Truncate) and change.table == table


def written_row(change: Change, table: str) -> Insert | Update | None:
    """The change, if it writes a row of `table`."""
    return change if isinstance(change, Insert | Update) and change.table == table else None


def is_delete_of(change: Change, table: str) -> bool:
    """Whether a change deletes a row of `table`."""
    return isinstance(change, Delete) and change.table == table
