"""What several variants take out: the compare that would stop a migration before harm is done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cutover.engine.parts import Parts
from cutover.model.change import Key
from cutover.model.observation import Observation, RowDigest, SiteFacts
from cutover.model.plan import Plan
from cutover.ports.database import DigestPage
from cutover.protocol.moves import Decision
from cutover.protocol.replay import State

Advance = Callable[[Plan, State, Observation], Decision]


def without_compare(parts: Parts) -> Parts:
    """Parts whose compares look at no row, and so find every pair of sites equal."""
    return replace(parts, rows={site: NothingToCompare(rows) for site, rows in parts.rows.items()})


class NothingToCompare:
    """Rows of a site, but for the digests."""

    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def digests(self, table: str, after: Key | None, limit: int) -> DigestPage:
        """No rows."""
        return DigestPage(rows={}, last=None)

    async def digests_of(self, table: str, keys: Sequence[Key]) -> dict[Key, RowDigest]:
        """None of them."""
        return {}


def without_aside(parts: Parts) -> Parts:
    """Parts whose decisions do not know that rows were set aside."""
    return replace(parts, advance=AsideForgotten(parts.advance))


@dataclass(frozen=True, slots=True)
class AsideForgotten:
    """The decision function, told of no row that was set aside."""

    decide: Advance

    def __call__(self, plan: Plan, state: State, seen: Observation) -> Decision:
        """Decide as if every row had been applied."""
        told = replace(seen, source=_cleared(seen.source), target=_cleared(seen.target))
        return self.decide(plan, state, told)


def _cleared(facts: SiteFacts | None) -> SiteFacts | None:
    return None if facts is None else replace(facts, set_aside=0)
