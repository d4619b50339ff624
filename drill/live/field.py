"""The field of a live drill: what faults do to a stack, and what they hit."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cutover.model.observation import FenceState, SiteFacts
from cutover.model.plan import Plan
from cutover.model.position import Position
from drill.live.stacks import Stack
from drill.nemesis import BETWEEN
from drill.points import ROLES
from infra.embedded.errors import ProcessFailed, StackError
from infra.embedded.groups import Death

COORDINATOR = "operator/coordinator"
STAND_IN = "operator/coordinator.2"


@dataclass(slots=True)
class LiveField:
    """Faults name parts of the plan; this knows which processes and links they are."""

    stack: Stack
    plan: Plan
    coordinator_settings: dict[str, object]
    coordinator_entry: str
    standing_in: bool = False
    dead: dict[str, None] = field(default_factory=dict)

    def site(self, victim: str) -> str:
        """The name of `source` or `target`."""
        return self.plan.source if victim == "source" else self.plan.target

    def process(self, victim: str) -> str:
        """The stack's name of a process: `worker` is the one that follows the source."""
        return COORDINATOR if victim == "coordinator" else f"{self.plan.target}/{victim}"

    async def kill_site(self, site: str) -> None:
        """All of it at one instant."""
        _check_bite(await self.stack.kill_site(self.site(site)), site)

    async def power_cut(self, site: str) -> None:
        """All of it, with what it had not synced."""
        await self.stack.power_cut_site(self.site(site))

    async def restart_site(self, site: str) -> None:
        """On the same data, or what its disk has of it."""
        await self.stack.restart_site(self.site(site))

    async def kill_process(self, victim: str) -> None:
        """SIGKILL."""
        self.dead[victim] = None
        _check_bite(await self.stack.kill(self.process(victim)), victim)

    async def start_process(self, victim: str) -> None:
        """Start it again; a coordinator's second life does not stop at the crash point."""
        self.dead.pop(victim, None)
        if victim == "coordinator":
            await self.start_coordinator(COORDINATOR)
        else:
            await self.stack.start(self.process(victim))

    async def start_coordinator(self, process: str, point: str | None = None) -> None:
        """Start a coordinator that waits at `point`."""
        settings = {**self.coordinator_settings, "point": point}
        await self.stack.start(process, entry=self.coordinator_entry, settings=settings)

    async def pause_process(self, victim: str) -> None:
        """SIGSTOP, in the middle of whatever it does."""
        await self.stack.pause(self.process(victim))

    async def resume_process(self, victim: str) -> None:
        """It wakes with all that it believed when it fell asleep."""
        await self.stack.resume(self.process(victim))

    async def stand_in(self, victim: str) -> None:
        """A second coordinator takes over from the one that sleeps."""
        self.standing_in = True
        await self.start_coordinator(STAND_IN)

    async def cut_between_sites(self) -> None:
        """Both directions; bytes are held back and never arrive."""
        for link in self._links():
            await self.stack.cut(link)

    async def heal_between_sites(self) -> None:
        """Both directions."""
        await self._healed(self._links())

    async def isolate(self, site: str) -> None:
        """From its peer and from the witness, in both directions; clients still reach it."""
        for link in self._links_of(self.site(site)):
            await self.stack.cut(link)

    async def reconnect(self, site: str) -> None:
        """All of them again."""
        await self._healed(self._links_of(self.site(site)))

    async def _healed(self, links: tuple[str, ...]) -> None:
        """Each of them, also behind one that cannot be healed: that is told once the others are."""
        failed: StackError | None = None
        for link in links:
            try:
                await self.stack.heal(link)
            except StackError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    async def break_between_sites(self, mode: str, *, seconds: float = 0.0) -> None:
        """Both directions."""
        for link in self._links():
            await self.stack.cut(link, mode, seconds=seconds)

    async def lose_towards(self, site: str) -> None:
        """Of the connections that the peer begins what it asks, and of the site's own the answers."""
        here, peer = self.site(site), self.plan.peer(self.site(site))
        await self.stack.cut(f"{peer}-{here}", "cut-to")
        await self.stack.cut(f"{here}-{peer}", "cut-back")

    async def pause_site(self, site: str) -> None:
        """All of it, in the middle of whatever it does."""
        await self.stack.pause_site(self.site(site))

    async def resume_site(self, site: str) -> None:
        """All of it goes on."""
        await self.stack.resume_site(self.site(site))

    async def fill_disk(self, site: str) -> None:
        """To the last byte."""
        await self.stack.fill_disk(self.site(site))

    async def free_disk(self, site: str) -> None:
        """There is room again."""
        await self.stack.free_disk(self.site(site))

    def _links_of(self, site: str) -> tuple[str, ...]:
        return (*self._links(), f"{site}-witness")

    def _links(self) -> tuple[str, str]:
        source, target = self.plan.source, self.plan.target
        return f"{source}-{target}", f"{target}-{source}"


def _check_bite(death: Death, victim: str) -> None:
    """What was dead already was not killed by us: a drill must not take a crash for its own fault."""
    if death.processes == 0:
        raise ProcessFailed(f"{victim} was not running any more, so nothing of it was killed")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """What was going on at one moment. Sites are named by their part in the plan."""

    action: str | None = None  #: the journalled action that is not known to be done
    action_at: frozenset[str] = frozenset()
    calls: Mapping[str, int] = field(default_factory=dict)  #: clients' calls without an answer, by site
    fed: frozenset[str] = frozenset()  #: sites that their peer's log, or its tables, are on their way to
    standing: bool = False  #: the coordinator is in a call of its own, at a crash point


def in_flight(victim: str, seen: UnderWay) -> dict[str, object] | None:
    """What a fault of `victim` hits, on it or on a link that it needs; None: nothing."""
    found: dict[str, object] = {}
    if seen.action and (victim == "coordinator" or victim in seen.action_at):
        found["action"] = seen.action
    elif victim == "coordinator" and seen.standing:
        found["call"] = "its own, at the crash point"
    if seen.calls.get(victim):
        found["operations"] = seen.calls[victim]
    if (victim in (*ROLES, BETWEEN) and seen.fed) or (victim == "worker" and "target" in seen.fed):
        found["changes to"] = sorted(seen.fed)
    return found or None


def is_fed(follower: SiteFacts, leading: SiteFacts, end: Position | None) -> bool:
    """Whether something is on its way to `follower`: rows that are copied, or changes of the log.

    A closed site's log grows by what is no change of a user's, so it counts up
    to `end` only, where it was closed (None: it does not lead).
    """
    if not follower.following:
        return False
    if leading.fence.state is not FenceState.CLOSED:
        end = leading.end
    behind = end is not None and (follower.applied is None or not follower.applied.reaches(end))
    return behind or follower.tables_pending > 0
