"""The coordinator: observes, lets the protocol decide, journals, acts.

It can be killed anywhere and started again anywhere. Two at once, or one that
wakes up late, are harmless: the newer term wins the register, the journal slot
and every site.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from cutover.engine.act import Executor
from cutover.engine.journalling import begin, done_entry, move_entry, take_over_entry
from cutover.engine.observe import Observer
from cutover.engine.parts import Parts
from cutover.engine.register import change_register, read_register
from cutover.engine.resting import unmet
from cutover.errors import DrainLost, Inconclusive, NotReady, Refused, SiteUnreachable, StaleTerm, Superseded
from cutover.model.action import Action, Guard
from cutover.model.journal import Entry, Intent
from cutover.model.observation import Observation
from cutover.model.register import Grant
from cutover.model.stage import Stage
from cutover.protocol.advance import EARLY
from cutover.protocol.moves import CarryOn, Move, Wait
from cutover.protocol.replay import State, replay

LOOK_SECONDS = 0.25
"""Pause between two looks while there is nothing to do."""
SWITCH_LOOK_SECONDS = 0.003
"""The same while writes are stopped: it is part of the write pause that users feel."""
RETRY_SECONDS = 0.5
"""Pause before an action is tried again at a site that did not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where it stands, for people and for `--json`."""

    stage: Stage
    doing: str = ""
    waiting_for: str = ""


@dataclass(slots=True)
class Coordinator:
    """Carries one migration from wherever its journal says it stopped."""

    parts: Parts
    report: Callable[[Progress], None] = lambda _: None
    on_entry: Callable[[Entry], None] = lambda _: None
    _state: State = field(default_factory=State)
    _term: int = 0
    _newest: Entry | None = None  #: of the journal, as this process knows it
    _parted: bool = False  #: the register tells of a parting that the journal does not know yet
    _unsure: bool = False  #: the last turn broke off, perhaps with an entry that is written and not known

    async def run(self, *, until: Stage | None = None) -> Stage:
        """Carry on until `until` is reached, an operator is asked for, or the migration has ended.

        Raises StaleTerm when another coordinator has taken over, NotReady when
        preflight refuses, BadInput when the plan was edited.
        """
        self._state = await begin(self.parts)
        await self._take_term()
        if self._state.stage is Stage.PREFLIGHT and not self._state.pending:
            await self._preflight()
        observer = Observer(self.parts)
        executor = Executor(self.parts, self._doing)
        while self._unsure or self._parted or not self._at_goal(until):
            try:
                await self._turn(observer, executor)
            except StaleTerm:
                await self._absorb()  # raises too when it was another coordinator
                if not await self._was_promotion():
                    raise
                await self._take_term()
        return self._state.stage

    async def _was_promotion(self) -> bool:
        """Whether the newest term was taken by a survivor's promotion: then go on from what that left."""
        grant = (await read_register(self.parts)).grant
        return grant.parted is not None and grant.parted.term == grant.term > self._term

    async def _preflight(self) -> None:
        problems = await self.parts.preflight()
        if problems:
            raise NotReady(problems)

    async def _take_term(self) -> None:
        """From here on the register and both sites refuse whatever an earlier coordinator still sends."""

        def taken(grant: Grant) -> Grant:
            return replace(grant, term=max(grant.term, self._state.term) + 1)

        grant = await change_register(self.parts, taken)
        self._term, self._parted = grant.term, unmet(self._state, grant)
        while not await self._taken_over():
            await self._absorb()

    async def _taken_over(self) -> bool:
        """Write an entry of this term before the first decision: an older one that appends later sees it."""
        try:
            await self._write(take_over_entry(self.parts, self._state, self._term))
        except Superseded:
            return False
        return True

    def _at_goal(self, until: Stage | None) -> bool:
        if self._state.pending:
            return False
        if self._state.stage in (Stage.COMPLETE, Stage.ROLLED_BACK) or self._state.stage is until:
            return True
        resting = self._state.stage is Stage.SOAK and not self._asked()
        return resting and until is None and bool(self._state.clean)

    def _asked(self) -> bool:
        """Whether an operator has asked for something that is not done yet."""
        state = self._state
        return bool(state.wanted or state.promote or state.release or state.throttle)

    async def _turn(self, observer: Observer, executor: Executor) -> None:
        """One look, one decision, at most one action.

        A turn that breaks off may have written what is not known here: only another one, which
        reads that first, can tell whether the goal is reached.
        """
        self._unsure = True
        try:
            await self._absorb()
            seen = await observer.look(self._state)
            self._parted = False
            decision = self.parts.advance(self.parts.plan, self._state, seen)
            match decision:
                case Move():
                    await self._write(
                        move_entry(self.parts, self._state, self._term, decision, facts_of(seen))
                    )
                case CarryOn(action):
                    await self._carry_out(executor, action)
                case Wait(until):
                    self.report(Progress(stage=self._state.stage, waiting_for=until))
                    await self.parts.clock.sleep(self._pause())
            self._unsure = False
        except (Superseded, DrainLost):
            return  # somebody was faster: look again and decide anew
        except (SiteUnreachable, Inconclusive) as error:
            self.report(Progress(stage=self._state.stage, waiting_for=f"{error}"))
            await self.parts.clock.sleep(RETRY_SECONDS)

    def _pause(self) -> float:
        return SWITCH_LOOK_SECONDS if self._state.stage in (Stage.DRAIN, Stage.CUT_OVER) else LOOK_SECONDS

    async def _carry_out(self, executor: Executor, action: Action) -> None:
        """Act, and let an operator's command interrupt what takes long and changes nothing."""
        self._doing(action.name)
        guard, executor.end = Guard(self._term, self._state.move_n), self._state.end
        work = asyncio.ensure_future(executor.carry_out(action, guard))
        try:
            while not (await asyncio.wait({work}, timeout=1.0))[0]:
                if action.name == "compare-sites" and await self._interrupted():
                    return
            facts = work.result()
        finally:
            if not work.done():
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
        await self._write(done_entry(self.parts, self._state, self._term, action, facts))

    async def _interrupted(self) -> bool:
        await self._absorb()
        early = self._state.stage in EARLY and self._state.wanted is Intent.ROLL_BACK
        return self._state.paused or early

    async def _write(self, entry: Entry) -> None:
        """Append, then believe it: whoever has taken this slot first is read before anything else."""
        await self.parts.journal.append(entry)
        self._take_in([entry])

    async def _absorb(self) -> None:
        """Read what others wrote: an operator's intents, or a coordinator that has taken over."""
        entries = await self._news()
        newest = max((entry.term for entry in entries), default=0)
        if newest > self._term:
            raise StaleTerm(site="journal", carried=(self._term, self._state.next_n), seen=(newest, 0))
        self._take_in(entries)

    async def _news(self) -> list[Entry]:
        """What was written behind the newest entry that is known here; that one must still be there (S11)."""
        if self._newest is None:
            return await self.parts.journal.read(self._state.next_n)
        found = await self.parts.journal.read(self._newest.n)
        if not found or found[0].nonce != self._newest.nonce:
            raise Refused(
                f"journal entry {self._newest.n} was written and is gone, or is another one: the witness has "
                f"lost its memory. Nothing more was changed. Restore it to its newest state, or see the "
                f"runbook for a witness that lost its memory."
            )
        return found[1:]

    def _take_in(self, entries: list[Entry]) -> None:
        self._newest = entries[-1] if entries else self._newest
        self._state = replay(entries, self._state)
        for entry in entries:
            self.on_entry(entry)

    def _doing(self, what: str) -> None:
        self.report(Progress(stage=self._state.stage, doing=what))


def facts_of(seen: Observation) -> dict[str, object]:
    """What a decision rests on, as the journal keeps it."""
    return {
        "serving": seen.grant.serving,
        "epoch": seen.grant.epoch,
        "eligible": list(seen.grant.eligible),
        "lag_seconds": round(seen.lag_seconds, 6) if seen.lag_seconds < 1e9 else None,
        "drained": seen.drained,
        "source_end": str(seen.source.end) if seen.source else None,
        "target_applied": str(seen.target.applied) if seen.target else None,
    }
