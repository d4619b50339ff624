"""Which entries a drill's stack runs: the production ones, or those that carry a planted bug."""

from collections.abc import Callable, Mapping

from cutover.cli.service import Settings, complain, joined
from cutover.engine.agent import Agent
from cutover.engine.parts import Parts
from cutover.engine.worker import Worker
from drill.planted import LIVE
from infra.embedded.services import Services
from sample_platform.platform import Platform
from sample_platform.service import serve


def services_of(plant: str | None) -> Services:
    """The services of a run; a process that carries the planted bug is started through this module."""
    if plant is None:
        return Services()
    carriers = LIVE[plant].processes
    usual, here = Services(), "drill.live.services"
    return Services(
        worker=f"{here}:worker" if "worker" in carriers else usual.worker,
        agent=f"{here}:agent" if "agent" in carriers else usual.agent,
        platform=f"{here}:platform" if "platform" in carriers else usual.platform,
    )


def extras_of(plant: str | None) -> Mapping[str, Mapping[str, object]]:
    """The settings that such a process needs: the name of its bug; and those of the database servers."""
    if plant is None:
        return {}
    carriers = {kind: {"plant": plant} for kind in LIVE[plant].processes if kind != "coordinator"}
    return {**carriers, "postgres": LIVE[plant].database}


def preloaded() -> tuple[str, ...]:
    """Modules that the supervisor imports once, so that a start costs a fork."""
    return ("drill.live.coordinator", "drill.live.services", "cutover.cli.compose", "cutover.engine.worker")


def planted(parts: Parts, settings: Mapping[str, object]) -> Parts:
    """The parts with the bug that the settings name in them."""
    plant = settings.get("plant")
    return LIVE[str(plant)].in_parts(parts) if plant else parts


async def worker(settings: Mapping[str, object], ready: Callable[[], None]) -> None:
    """The worker, over parts with a bug in them."""
    read = Settings.read(settings)
    ready()
    async with joined(read) as parts:
        await Worker(planted(parts, settings), read.site, report=complain()).run()


async def platform(settings: Mapping[str, object], ready: Callable[[], None]) -> None:
    """The sample platform, with a bug in its logic."""
    plant = settings.get("plant")
    kind = LIVE[str(plant)].platform if plant else Platform
    await serve(settings, ready, kind=kind)


async def agent(settings: Mapping[str, object], ready: Callable[[], None]) -> None:
    """The agent, over parts with a bug in them."""
    read = Settings.read(settings)
    ready()
    async with joined(read) as parts:
        await Agent(planted(parts, settings), read.site, report=complain()).run()
