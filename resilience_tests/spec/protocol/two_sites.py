"""Two sites, two agents, two workers, a register and coordinators, as small as they can be.

What decides is production code: `attend`, `promoted`, `renewed` and the changes
of the register that the coordinator's actions make. What is modelled is what
a fence, a guard, a lease and a worker are. Every step is one effect, so a
process can be held up for as long as it likes between any two; a crash makes
it begin anew.

A lease has no clock here. It lives until somebody says that it is over (the
step `expire`), which may be at any time, and an agent counts it as over only
then: so whatever the clocks do, within S1c, is among the runs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from cutover.engine.act import Executor, _given_up, _reunited
from cutover.engine.register import renewed
from cutover.errors import CutoverError
from cutover.model.action import Guard
from cutover.model.observation import Fence, FenceState
from cutover.model.register import Drain, Grant
from cutover.protocol.attend import (
    Duty,
    EndDrain,
    Promote,
    RenewLease,
    Reopen,
    Shut,
    StandDown,
    TakeOffice,
    Watch,
    attend,
)
from cutover.protocol.promote import promoted
from resilience_tests.spec.protocol.worlds import GRANT, PLAN

SITES = (PLAN.source, PLAN.target)
LONG = 1e6
"""Seconds after which every lease and every drain is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a site's database holds. `sent` and `had` count writes of its own and of its peer's."""

    is_open: bool
    epoch: int
    guard: Guard = field(default_factory=lambda: Guard(1, 1))
    lease: int = 0  #: the renewal that it counts from
    follows: Guard | None = None
    written: int = 0  #: of its own
    had: int = 0  #: of its peer's, applied
    lost: bool = False  #: it applied what its peer wrote, over what it had not sent itself

    @property
    def fence(self) -> Fence:
        """As the agent reads it; whether its lease lives makes no difference to a decision."""
        state = FenceState.OPEN if self.is_open else FenceState.CLOSED
        return Fence(state=state, epoch=self.epoch, lease_live=True, guard=self.guard)

    def passed(self, guard: Guard) -> "Site | None":
        """What a guarded effect finds; None: it is refused."""
        return None if guard.older_than(self.guard) else replace(self, guard=guard)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """An agent or a coordinator: what it has still to do, with what it knows."""

    todo: tuple["Step", ...] = ()
    fence: Fence | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One effect that is still to come."""

    name: str
    site: str = ""
    guard: Guard | None = None
    epoch: int = 0
    count: int = 0
    then: "tuple[Step, ...]" = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Two:
    """All of it at one moment."""

    grant: Grant
    sites: tuple[Site, Site]
    over: int = 0  #: newest renewal whose lease is over
    agents: tuple[Process, Process] = (Process(), Process())
    coordinators: tuple[Process, ...] = ()
    renewals: int = 0  #: under this epoch

    def accepts(self, index: int) -> bool:
        """Whether this site takes a write now."""
        site = self.sites[index]
        return site.is_open and site.lease > self.over

    def with_site(self, index: int, site: Site) -> "Two":
        """The same with another site."""
        return replace(self, sites=(site, self.sites[1]) if index == 0 else (self.sites[0], site))

    def with_agent(self, index: int, agent: Process) -> "Two":
        """The same with another agent."""
        return replace(self, agents=(agent, self.agents[1]) if index == 0 else (self.agents[0], agent))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What may be swapped for a known-bad variant."""

    attend: Callable[..., tuple[Duty, ...]] = attend
    promoted: Callable[..., Grant] = promoted
    waits_for_lease: bool = True
    office: tuple[str, ...] = ("unfollow", "open")
    stands_down: tuple[str, ...] = ("unfollow", "close")
    guarded: bool = True  #: sites refuse what an older coordinator sends
    applies_when_open: bool = False
    close_holds_the_worker: bool = True  #: a site that served and was closed applies nothing until told anew
    agents_die: bool = True
    renewals: int = 1  #: bound of the search: leases beside the first that an epoch may see
    writes: int = 1


def started(rules: Rules, *, drain: bool = False) -> Two:
    """East serves and has written what west does not have; each is told to follow the other."""
    told = Guard(1, 1)
    held = drain and rules.close_holds_the_worker
    east = Site(is_open=not drain, epoch=1, lease=1, follows=None if held else told, written=1)
    west = Site(is_open=False, epoch=0, follows=told)
    stands = Drain(leaving="east", seconds=5.0, term=1, entry=1) if drain else None
    return Two(grant=replace(GRANT, drain=stands), sites=(east, west))


def steps(rules: Rules, two: Two) -> Iterator[tuple[str, Two]]:
    """Everything that can happen next, with its name."""
    if two.over < two.grant.lease_count:
        yield "every lease is over", replace(two, over=two.grant.lease_count)
    for index, site in enumerate(SITES):
        if two.accepts(index) and two.sites[index].written < rules.writes + (index == 0):
            now = two.sites[index]
            yield f"{site} writes", two.with_site(index, replace(now, written=now.written + 1))
        yield from _worker(rules, two, index)
        yield from _agent(rules, two, index)
    for number, process in enumerate(two.coordinators):
        if process.todo and not _waits(two, process.todo[0]):
            name, (after, rest) = _act(rules, two, SITES.index(process.todo[0].site), process)
            if _overtaken(after.grant, rest):
                rest = Process()
            others = two.coordinators[:number], two.coordinators[number + 1 :]
            yield (
                f"coordinator {number}: {name}",
                replace(after, coordinators=(*others[0], rest, *others[1])),
            )


def _overtaken(grant: Grant, process: Process) -> bool:
    """It looks at the register before each action, and drops what a promotion has made void."""
    return any(
        grant.parted is not None and step.guard is not None and step.guard.term < grant.parted.term
        for step in (*process.todo, *(then for step in process.todo for then in step.then))
    )


def _waits(two: Two, step: Step) -> bool:
    """A coordinator grants an epoch only after a look that showed the other site closed and drained."""
    if step.name != "drained":
        return False
    index = SITES.index(step.site)
    here, leaving = two.sites[index], two.sites[1 - index]
    return leaving.is_open or here.had < leaving.written


def _worker(rules: Rules, two: Two, index: int) -> Iterator[tuple[str, Two]]:
    """The worker applies all that its peer has written, while it is told to and its site is not open."""
    here, there = two.sites[index], two.sites[1 - index]
    if here.follows is None or here.had >= there.written:
        return
    if here.is_open and not rules.applies_when_open:
        return
    unsent = here.written > there.had
    yield (
        f"worker {SITES[index]} applies",
        two.with_site(index, replace(here, had=there.written, lost=here.lost or unsent)),
    )


def _agent(rules: Rules, two: Two, index: int) -> Iterator[tuple[str, Two]]:
    agent, site = two.agents[index], SITES[index]
    if agent.todo:
        name, (after, rest) = _act(rules, two, index, agent)
        yield f"agent {site}: {name}", after.with_agent(index, rest)
        if rules.agents_die:
            yield f"agent {site} dies and is back", two.with_agent(index, Process())
    elif agent.fence is None:
        fence = two.sites[index].fence
        yield f"agent {site} reads its fence", two.with_agent(index, Process(fence=fence))
    else:
        for watch in _watches(rules, two):
            duties = rules.attend(PLAN, site, agent.fence, two.grant, watch)
            todo = tuple(step for duty in duties for step in _of_duty(rules, site, duty, agent.fence))
            if todo or watch.silent == 0:
                yield f"agent {site} reads the register", two.with_agent(index, Process(todo=todo))


def _watches(rules: Rules, two: Two) -> Iterator[Watch]:
    ages = (0.0, LONG) if two.grant.drain is not None else (0.0,)
    silences = (0.0, LONG) if two.over >= two.grant.lease_count or not rules.waits_for_lease else (0.0,)
    for age in ages:
        for silent in silences:
            yield Watch(drain_age=age, silent=silent)


def _of_duty(rules: Rules, site: str, duty: Duty, fence: Fence) -> tuple[Step, ...]:
    match duty:
        case RenewLease():
            extend = (Step("extend", site),) if fence.state is FenceState.OPEN else ()
            return (Step("renew", site, then=extend),)
        case EndDrain():
            return (Step("end drain", site),)
        case Reopen(epoch, guard):
            return (opening(site, guard, epoch),)
        case Promote(count):
            return (Step("promote", site, count=count),)
        case TakeOffice(epoch, guard):
            parts = {"unfollow": Step("unfollow", site, guard), "open": opening(site, guard, epoch)}
            return tuple(parts[name] for name in rules.office)
        case Shut(guard):
            return (Step("close", site, guard),)
        case StandDown(guard):
            return tuple(Step(name, site, guard) for name in rules.stands_down)


def opening(site: str, guard: Guard, epoch: int = 0) -> Step:
    """Renew the lease at the register, then open with it; without an epoch: under the register's."""
    return Step("renew to open", site, then=(Step("open", site, guard, epoch),))


def _act(rules: Rules, two: Two, index: int, process: Process) -> tuple[str, tuple[Two, Process]]:
    """Carry out one step; what is refused ends the turn."""
    step, rest = process.todo[0], process.todo[1:]
    try:
        after, more = _effect(rules, two, index, step)
    except CutoverError:
        return f"{step.name} is refused", (two, Process())
    return step.name, (after, Process(todo=(*more, *rest)))


class Denied(CutoverError):
    """The model's own refusal."""


def _effect(rules: Rules, two: Two, index: int, step: Step) -> tuple[Two, tuple[Step, ...]]:
    match step.name:
        case "renew" | "renew to open":
            return _renew(rules, two, step)
        case "end drain":
            return replace(two, grant=replace(two.grant, drain=None)), ()
        case "promote":
            grant = rules.promoted(two.grant, step.site, lease_count=step.count, by="agent")
            return replace(two, grant=grant, renewals=0), ()
        case "declare" | "give up" | "grant" | "end parting":
            grant = _change(two.grant, step)
            return replace(two, grant=grant, renewals=two.renewals * (grant.epoch == two.grant.epoch)), ()
        case "merge":
            return _merged(two, index), ()
        case _:
            return _at_site(rules, two, index, step)


def _merged(two: Two, index: int) -> Two:
    """What the peer had not sent is in what this site serves."""
    if not two.accepts(index):
        raise Denied
    return two.with_site(index, replace(two.sites[index], had=two.sites[1 - index].written))


def _renew(rules: Rules, two: Two, step: Step) -> tuple[Two, tuple[Step, ...]]:
    grant = renewed(two.grant, step.site, GRANT.lease_seconds)
    if grant is None or two.renewals >= rules.renewals:
        raise Denied
    if step.name == "renew to open" and grant.drain is not None:
        raise Denied
    more = tuple(replace(one, count=grant.lease_count, epoch=one.epoch or grant.epoch) for one in step.then)
    return replace(two, grant=grant, renewals=two.renewals + 1), more


def _change(grant: Grant, step: Step) -> Grant:
    """With the checks of the coordinator's own actions."""
    guard = step.guard or Guard(0, 0)
    executor = Executor.__new__(Executor)
    match step.name:
        case "grant":
            return executor._granted(grant, guard, step.site) or grant
        case "give up":
            return _given_up(grant, guard, step.site) or grant
        case "end parting":
            return _reunited(grant, guard, step.site) or grant
        case _:
            if grant.serving != step.site or grant.term > guard.term:
                raise Denied
            return replace(
                grant, drain=Drain(leaving=step.site, seconds=5.0, term=guard.term, entry=guard.entry)
            )


def _at_site(rules: Rules, two: Two, index: int, step: Step) -> tuple[Two, tuple[Step, ...]]:
    here = two.sites[index]
    if step.name == "extend":
        if step.epoch == here.epoch:
            here = replace(here, lease=max(here.lease, step.count))
        return two.with_site(index, here), ()
    assert step.guard is not None
    passed = here.passed(step.guard) if rules.guarded else here
    if passed is None:
        raise Denied
    match step.name:
        case "open":
            if step.epoch < here.epoch:
                raise Denied
            opened = replace(passed, is_open=True, epoch=step.epoch, lease=step.count)
            return two.with_site(index, opened), ()
        case "close":
            held = rules.close_holds_the_worker and here.is_open
            closed = replace(passed, is_open=False, follows=None if held else passed.follows)
            return two.with_site(index, closed), ()
        case "drained":
            return two.with_site(index, passed), ()
        case "unfollow":
            return two.with_site(index, replace(passed, follows=None)), ()
        case _:
            return two.with_site(index, replace(passed, follows=step.guard)), ()


def search(
    rules: Rules, first: Two, judge: Callable[[Two, Two], str | None], *, most: int
) -> tuple[int, str]:
    """Look at every state that can be reached; how many, and the shortest story that `judge` objects to."""
    seen: dict[Two, tuple[Two | None, str]] = {first: (None, "")}
    frontier = [first]
    while frontier:
        behind: list[Two] = []
        for two in frontier:
            for name, after in steps(rules, two):
                if after in seen:
                    continue
                seen[after] = (two, name)
                objection = judge(two, after)
                if objection is not None:
                    return len(seen), f"{objection}: {_story(seen, after)}"
                behind.append(after)
        frontier = behind if len(seen) <= most else []
    return len(seen), ""


def _story(seen: dict[Two, tuple[Two | None, str]], two: Two) -> str:
    names = []
    before, name = seen[two]
    while before is not None:
        names.append(name)
        before, name = seen[before]
    return " / ".join(reversed(names))
