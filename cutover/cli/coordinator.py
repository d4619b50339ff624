"""`cutover coordinator`: carries a migration on whenever the journal asks for something."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cutover.cli.answer import Answer
from cutover.cli.options import OutputsOption, PlanOption

if TYPE_CHECKING:
    from cutover.engine.coordinator import Coordinator
    from cutover.engine.parts import Parts
    from cutover.model.stage import Stage

OPERATOR = "operator"
"""The place that a coordinator runs at: none of the sites."""


async def serve(settings: Mapping[str, object], ready: Callable[[], None]) -> None:
    """Coordinate until the migration has ended, or another coordinator has taken over (StaleTerm)."""
    from cutover.cli.service import Settings, joined

    read = Settings.read(settings)
    ready()
    async with joined(read) as parts:
        await coordinate(parts)


async def coordinate(parts: "Parts") -> None:
    """Run to where the migration rests, and again whenever an operator has written something.

    A site or a witness that does not answer, or refuses for now, is waited for and complained of; `cutover
    run` says so and ends.
    """
    from cutover.cli.migration import Teller
    from cutover.cli.service import complain
    from cutover.engine.coordinator import Coordinator
    from cutover.engine.rebuild import check_journal
    from cutover.engine.resting import LOOK_SECONDS, rest
    from cutover.errors import Inconclusive, SiteUnreachable
    from cutover.protocol.advance import ENDED

    teller, trouble = Teller(), complain()
    while True:
        try:
            await check_journal(parts)
            if await _carried_on(Coordinator(parts, report=teller.tell)) in ENDED:
                return
            await rest(parts)
        except (SiteUnreachable, Inconclusive) as error:  # preflight needs both sites: they may come back
            trouble(f"{error}")
            await parts.clock.sleep(LOOK_SECONDS)


async def _carried_on(carrier: "Coordinator") -> "Stage":
    """What refuses now may not in a moment; another coordinator or a wrong plan will go on to."""
    from cutover.errors import BadInput, Inconclusive, NotReady, Refused, StaleTerm

    try:
        return await carrier.run()
    except (StaleTerm, BadInput, NotReady):
        raise
    except Refused as error:
        raise Inconclusive(f"{error}") from error


def coordinator(*, outputs: OutputsOption, plan: PlanOption = None) -> Answer:
    """Run a coordinator until the migration has ended. `cutover run` is one, too.

    Two at once are harmless: the later one takes over. Without a plan it waits
    until a migration has begun (`cutover run --detach`), and works on that.
    """
    from cutover.cli.service import run_unforked

    given: dict[str, Path | str | None] = {"site": OPERATOR, "outputs": outputs, "plan": plan}
    return run_unforked(serve, given, "coordinator")
