"""What worker, agent and coordinator have in common as long-running processes.

Each is started with the outputs of its own place. Without a plan it waits for
the journal at the witness to be begun, and works on the plan in its entry 0,
so that a stack can stand before there is a migration.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cutover.adapters.s3.address import S3Address
from cutover.adapters.s3.witness import S3Journal
from cutover.cli.answer import Answer
from cutover.cli.compose import opened
from cutover.cli.plan_file import read_plan
from cutover.cli.selection import read_credentials, read_outputs
from cutover.engine.parts import Parts
from cutover.errors import BadInput, Inconclusive, Refused, SiteUnreachable
from cutover.model.journal import Entry, Kind
from cutover.model.outputs import Outputs
from cutover.model.plan import Plan
from cutover.model.plan_json import plan_from_json
from cutover.ports.witness import Journal

LOOK_SECONDS = 0.25
"""Pause between two looks for a journal that has not been begun: what `cutover run` waits at most."""

Serve = Callable[[Mapping[str, object], Callable[[], None]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a process is started with."""

    site: str
    outputs: Path
    plan: Path | None = None
    listen: tuple[str, int] | None = None

    @classmethod
    def read(cls, given: Mapping[str, object]) -> "Settings":
        """Read the settings of a supervisor; BadInput names what is missing."""
        listen, plan = given.get("listen"), given.get("plan")
        try:
            return cls(
                site=str(given["site"]),
                outputs=Path(str(given["outputs"])),
                plan=Path(str(plan)) if plan else None,
                listen=(str(listen["host"]), int(listen["port"])) if isinstance(listen, Mapping) else None,
            )
        except KeyError as missing:
            raise BadInput(f"the process was started without the setting {missing}.") from None


@asynccontextmanager
async def joined(settings: Settings) -> AsyncIterator[Parts]:
    """The parts of this process, as soon as it is known which plan it works on."""
    outputs = read_outputs(settings.outputs)
    plan = read_plan(settings.plan).plan if settings.plan else await _plan_at_witness(outputs)
    async with opened(plan, outputs) as parts:
        yield parts


async def _plan_at_witness(outputs: Outputs) -> Plan:
    """The plan in entry 0 of the journal, waited for."""
    key = read_credentials(Path(outputs.witness.credentials_file)).s3
    async with AsyncExitStack() as closing:
        journal = S3Journal(S3Address.of(outputs.witness.s3, key), outputs.witness.prefix)
        closing.push_async_callback(journal.close)
        return await first_plan(journal)


async def first_plan(journal: Journal) -> Plan:
    """Wait until a journal has been begun, and read its plan; Refused when it is a foreign one."""
    while True:
        with suppress(SiteUnreachable, Inconclusive):
            entries = await journal.read()
            if entries:
                return plan_of(entries[0])
        await asyncio.sleep(LOOK_SECONDS)


def plan_of(first: Entry) -> Plan:
    """The plan that entry 0 holds; Refused when it holds none that this version reads."""
    if first.kind is not Kind.PLAN:
        raise Refused(f"journal entry 0 is a {first.kind.value}, not a plan: this is not a journal of ours.")
    try:
        return plan_from_json(first.facts.get("plan"))
    except ValueError as error:
        raise Refused(
            f"journal entry 0 holds no plan that this version reads: {error}. Nothing was changed. "
            f"Use the version of cutover that began the migration, or look who wrote this journal."
        ) from None


def run_unforked(serve: Serve, settings: Mapping[str, object], name: str) -> Answer:
    """Serve in this process until it is asked to end (SIGTERM), which is no failure."""

    async def work() -> None:
        task = asyncio.ensure_future(serve(settings, lambda: None))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(work())
    return Answer(text=f"{name} has ended")


def complain() -> Callable[[str], None]:
    """Say on standard error what stands in the way, once until it changes: a log is read at night."""
    last = ""

    def say(trouble: str) -> None:
        nonlocal last
        if trouble != last:
            sys.stderr.write(f"{trouble}\n")
            sys.stderr.flush()
        last = trouble

    return say
