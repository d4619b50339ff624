"""What an agent may say of its peer (S12), and when it borrows a lease of it."""

from dataclasses import replace
from math import isinf
from typing import Any

import pytest

from cutover.engine.agent import Agent
from cutover.errors import Inconclusive
from cutover.model.plan import Lease
from drill.planted.around import Around
from resilience_tests.simulated.apart import Apart, ending
from resilience_tests.spec.protocol.worlds import GRANT


def test_an_agent_that_was_not_there_at_the_cutover_does_not_say_that_its_peer_has_everything() -> None:
    """The coordinator had opened the site seconds before, and users have written since."""

    async def story(apart: Apart) -> None:
        grant = replace(GRANT, serving="west", epoch=2)
        begun = Agent(apart.parts, "west")
        begun._count_from(grant)
        assert isinf(begun._sent.lag.known)
        there = Agent(apart.parts, "west")
        there._count_from(GRANT)
        there._count_from(grant)
        assert not isinf(there._sent.lag.known)

    ending(story)


class Silent(Around):
    """A port of which these methods get no answer."""

    def __init__(self, inner: object, *names: str) -> None:
        super().__init__(inner)
        for name in names:
            setattr(self, name, self._no_answer)

    async def _no_answer(self, *_: object, **__: object) -> None:
        raise Inconclusive("no answer came")


@pytest.mark.parametrize(
    ("register", "database", "borrowed"),
    [(("read",), (), True), (("compare_and_set",), (), True), ((), ("renew_lease",), False)],
    ids=["the witness is not read", "the witness is not written", "its own database is silent"],
)
def test_a_lease_is_borrowed_where_the_witness_is_silent_and_nowhere_else(
    register: tuple[str, ...], database: tuple[str, ...], *, borrowed: bool
) -> None:
    async def story(apart: Apart) -> None:
        plan = replace(apart.parts.plan, lease=Lease(seconds=3.0, margin=0.5, lending=True))
        parts, east = replace(apart.parts, plan=plan), apart.parts.sites["east"]
        await parts.register.create(replace(GRANT, lease_count=0))
        agent = Agent(parts, "east")
        await agent.attend_once()
        east_heard: Any = Silent(east, *database)
        register_heard: Any = Silent(parts.register, *register)
        agent.parts = replace(parts, sites={**parts.sites, "east": east_heard}, register=register_heard)
        with pytest.raises(Inconclusive):
            await agent.attend_once()
        assert (apart.west.lent_until > 0.0) is borrowed

    ending(story)
