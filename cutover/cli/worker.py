"""`cutover worker`: brings the peer's changes to a site."""

from collections.abc import Callable, Mapping
from pathlib import Path

from cutover.cli.answer import Answer
from cutover.cli.options import OutputsOption, PlanOption, SiteOption


async def serve(settings: Mapping[str, object], ready: Callable[[], None]) -> None:
    """Follow the peer whenever the site's own database says so, until cancelled."""
    from cutover.cli.service import Settings, complain, joined
    from cutover.engine.worker import Worker

    read = Settings.read(settings)
    ready()
    async with joined(read) as parts:
        await Worker(parts, read.site, report=complain()).run()


def worker(*, site: SiteOption, outputs: OutputsOption, plan: PlanOption = None) -> Answer:
    """Run the sync worker of a site until it is ended. A stack starts it by itself.

    Without a plan it waits until a migration has begun, and works on that.
    """
    from cutover.cli.service import run_unforked

    given: dict[str, Path | str | None] = {"site": site, "outputs": outputs, "plan": plan}
    return run_unforked(serve, given, "worker")
