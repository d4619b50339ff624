"""What an agent that has just begun may say of its peer (S12)."""

from dataclasses import replace
from math import isinf

from cutover.engine.agent import Agent
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
