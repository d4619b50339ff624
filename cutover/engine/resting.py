"""What wakes a coordinator that has nothing to do: a word of an operator's, or a promotion."""

from contextlib import suppress

from cutover.engine.journalling import state_of
from cutover.engine.parts import Parts
from cutover.errors import Inconclusive, SiteUnreachable
from cutover.model.register import Grant
from cutover.protocol.replay import State

LOOK_SECONDS = 0.5
"""Pause between two looks at journal and register."""


def unmet(state: State, grant: Grant | None) -> bool:
    """Whether the register tells of a parting that the journal does not know yet."""
    return grant is not None and grant.parted is not None and grant.parted.epoch != state.parted


async def rest(parts: Parts) -> None:
    """Return once somebody wants something, has written anything else, or a survivor was promoted.

    A witness that does not answer is waited for.
    """
    state: State | None = None
    while True:
        with suppress(SiteUnreachable, Inconclusive):
            state = state or await state_of(parts)
            if state is not None and await _news(parts, state):
                return
        await parts.clock.sleep(LOOK_SECONDS)


async def _news(parts: Parts, state: State) -> bool:
    """A move that is not carried out is news, too: nobody else goes on with it."""
    if state.wanted or state.pending or await parts.journal.read(state.next_n):
        return True
    seen = await parts.register.read()
    return unmet(state, None if seen is None else seen.grant)
