"""The one next step of a migration."""

from math import isinf

from cutover.model.action import (
    Action,
    CloseSite,
    CompareSites,
    DeclareDrain,
    Disqualify,
    EndParting,
    Follow,
    GiveUpDrain,
    GrantEpoch,
    KeepLog,
    ListStranded,
    MarkEligible,
    MergeStranded,
    MoveSequences,
    OpenSite,
    PrepareSite,
    PromoteSite,
    ReleaseBrake,
    ReleaseLog,
    RemoveFence,
    Throttle,
    Unfollow,
    VerifyDelta,
)
from cutover.model.journal import Intent
from cutover.model.observation import FenceState, Observation, SiteFacts
from cutover.model.plan import Plan
from cutover.model.register import Unsent
from cutover.model.stage import Direction, Stage
from cutover.protocol.attend import lease_is_over
from cutover.protocol.moves import CarryOn, Decision, Move, Wait
from cutover.protocol.replay import SWITCHING, State

EARLY = (Stage.PREFLIGHT, Stage.BACKFILL, Stage.CATCH_UP, Stage.VERIFY)
ENDED = (Stage.COMPLETE, Stage.ROLLED_BACK)

TOUCHED_MAX = 50
"""Most rows that are left to be compared once writes are stopped, if they come no faster than they go."""
TOUCHED_MAX_UNDER_LOAD = 2_000
"""The same right behind a compare: under a load that touches more than this before the next look, none
would ever be few enough."""
TOUCHED_MAX_AT_REST = 5_000
"""Most rows that are left to be compared while the target soaks, so that a way back stays short."""


def advance(plan: Plan, state: State, seen: Observation) -> Decision:
    """Return the one next step from `state`, given what was `seen`.

    A drain that no longer stands is looked at before anything else: the
    register alone decides, and what the journal still wants done may have been
    overtaken by it. So has an early roll back, by a grant that came late: then
    the way back begins where the target serves.
    """
    apart = _apart(plan, state, seen)
    if apart is not None:
        return apart
    if state.stage in SWITCHING and seen.grant.serving == plan.leaving(state.direction):
        undone = _undo_switch(plan, state, seen)
        if undone is not None:
            return undone
    if state.wanted is Intent.ROLL_BACK and state.stage in EARLY and seen.grant.serving == plan.source:
        return _roll_back_early(plan, state)
    if state.pending:
        return _carry_on(plan, state, seen)
    if state.paused:
        return Wait("an operator runs `cutover resume`")
    return _asked(plan, state, seen) or _from_stage(plan, state, seen)


def _apart(plan: Plan, state: State, seen: Observation) -> Decision | None:
    """A survivor was promoted, or an operator wants that, or wants an end without the other site.

    The register alone decides: whatever the journal still wants done is void
    once it names a survivor.
    """
    parted = seen.grant.parted
    under_way = state.stage not in ENDED or any(isinstance(one, Disqualify) for one in state.pending)
    if parted is not None and under_way and state.parted != parted.epoch:
        because = f"{seen.grant.serving!r} was promoted by an {parted.by}, when the lease of {parted.left!r} "
        return Move(Stage.PARTED, (), f"{because}had run out", state.direction)
    if state.wanted is Intent.ABANDON and state.stage not in ENDED:
        return _abandon(plan, seen)
    if state.promote is not None and under_way:
        return _promote(plan, state, seen, state.promote)
    return None


def _promote(plan: Plan, state: State, seen: Observation, site: str) -> Move | None:
    """Past the lag bound an operator decides; that the lease has run out is waited for all the same."""
    if site == seen.grant.serving or site not in seen.grant.eligible or _promoting(state, seen):
        return None
    if state.promote_lease is not None and state.promote_lease != seen.grant.lease_count:
        return None  # it was renewed since the operator looked: who asks must look again
    if not lease_is_over(plan, seen.grant, seen.silent_seconds):
        return None
    action = PromoteSite(site, seen.grant.lease_count)
    rest = _without_promotion(state.pending)  # still to be done if a renewal comes first
    return Move(state.stage, (action, *rest), f"an operator promotes {site!r}", state.direction)


def _without_promotion(pending: tuple[Action, ...]) -> tuple[Action, ...]:
    return tuple(action for action in pending if not isinstance(action, PromoteSite))


def _promoting(state: State, seen: Observation) -> bool:
    return any(
        isinstance(one, PromoteSite) and one.lease_count == seen.grant.lease_count for one in state.pending
    )


def _abandon(plan: Plan, seen: Observation) -> Move:
    """End at the site that serves; the other one is left as it is, behind its fence."""
    serving = seen.grant.serving
    stage = Stage.COMPLETE if serving == plan.target else Stage.ROLLED_BACK
    direction = Direction.FORWARD if serving == plan.target else Direction.BACK
    ends: tuple[Action, ...] = (Disqualify(plan.peer(serving)), Unfollow(serving), ReleaseLog(serving))
    actions = (GiveUpDrain(serving), OpenSite(serving), *ends) if seen.grant.drain is not None else ends
    return Move(stage, actions, "an operator abandons the other site", direction)


def _asked(plan: Plan, state: State, seen: Observation) -> Move | None:
    """What an operator asked for and no stage knows of."""
    looks = {plan.source: seen.source, plan.target: seen.target}
    if state.release is not None:
        actions = tuple(ReleaseBrake(site, state.release) for site in _braked(plan, state, seen))
        if actions:
            because = "an operator has looked and releases the brake"
            return Move(state.stage, actions, because, state.direction)
    if state.throttle:
        paced = tuple(
            Throttle(site, state.pace) for site, facts in looks.items() if facts and facts.following
        )
        if paced:
            return Move(state.stage, paced, "an operator bounds the pace of copying", state.direction)
    return None


def _carry_on(plan: Plan, state: State, seen: Observation) -> Decision:
    """The next action that was ordered, unless it was overtaken."""
    action = state.pending[0]
    if isinstance(action, CompareSites) and state.paused:
        return Wait("an operator runs `cutover resume`")
    if isinstance(action, GiveUpDrain) and seen.grant.serving != action.site:
        arrived = seen.grant.serving
        direction = Direction.FORWARD if arrived == plan.target else Direction.BACK
        because = f"the register names {arrived!r}: it was granted before the drain was given up"
        return Move(Stage.CUT_OVER, (OpenSite(arrived),), because, direction)
    if isinstance(action, PromoteSite) and action.lease_count != seen.grant.lease_count:
        because = f"the lease of {seen.grant.serving!r} was renewed, so {action.site!r} is not promoted"
        return Move(state.stage, _without_promotion(state.pending), because, state.direction)
    return CarryOn(action)


def _from_stage(plan: Plan, state: State, seen: Observation) -> Decision:
    match state.stage:
        case Stage.PREFLIGHT:
            return _from_preflight(plan, seen)
        case Stage.BACKFILL:
            return _from_backfill(plan, seen)
        case Stage.CATCH_UP:
            return _from_catch_up(plan, seen)
        case Stage.VERIFY:
            return _from_verify(plan, state, seen)
        case Stage.DRAIN:
            return _from_drain(plan, state, seen)
        case Stage.CUT_OVER:
            return _from_cut_over(plan, state, seen)
        case Stage.PARTED:
            return _from_parted(plan, state, seen)
        case Stage.SOAK:
            return _from_soak(plan, state, seen)
        case Stage.COMPLETE | Stage.ROLLED_BACK:
            return Wait("an operator runs `cutover uninstall`; the migration has ended")


def _from_preflight(plan: Plan, seen: Observation) -> Decision:
    """The position is recorded before anything is copied; the target is closed before it is filled."""
    if seen.grant.lease_count == 0:
        return Wait(f"the agent of {plan.source!r} renews its lease at the witness (is it running?)")
    actions: tuple[Action, ...] = (
        PrepareSite(plan.target),
        PrepareSite(plan.source),
        OpenSite(plan.source),
        KeepLog(plan.source),
        Follow(plan.target, backfill=True),
    )
    return Move(Stage.BACKFILL, actions, "preflight found nothing to mend")


def _from_backfill(plan: Plan, seen: Observation) -> Decision:
    target = seen.target
    if target is None:
        return Wait(f"{plan.target!r} answers again")
    if target.brake:
        return _look(target.brake)
    if target.tables_pending:
        return Wait(f"{target.tables_pending} more table(s) are copied ({target.rows_copied} rows so far)")
    return Move(Stage.CATCH_UP, (), f"every planned table is copied ({target.rows_copied} rows)")


def _from_catch_up(plan: Plan, seen: Observation) -> Decision:
    late = _not_following_closely(plan, Direction.FORWARD, seen)
    if late is not None:
        return late
    actions: tuple[Action, ...] = (
        KeepLog(plan.target),
        Follow(plan.source, backfill=False),
        CompareSites(),
    )
    return Move(Stage.VERIFY, actions, f"the target is {seen.lag_seconds:.2f} s behind")


def _from_verify(plan: Plan, state: State, seen: Observation) -> Decision:
    """The way back is kept, and the target has earned its eligibility, before writes are stopped."""
    unearned = _unearned(plan, state, seen)
    if unearned is not None:
        return unearned
    late = _not_following_closely(plan, Direction.FORWARD, seen)
    if late is not None:
        return late
    if state.clean is None:
        return Move(Stage.VERIFY, (CompareSites(),), "a compare was asked for")
    if not state.clean:
        return Wait("what differs is mended and `cutover verify` finds both sites equal")
    if plan.target not in seen.grant.eligible:
        return Move(Stage.VERIFY, (MarkEligible(plan.target),), "a full compare was clean")
    if plan.gates.approve_cutover and not state.approved:
        return Wait("an operator runs `cutover approve`")
    if seen.target is not None and not seen.target.slot:
        lost = (
            f"{plan.target!r} keeps its log for {plan.source!r} again: its slot is gone or has lost its log"
        )
        return Wait(f"{lost}, and without it there is no way back (`cutover roll-back`, and begin anew)")
    return _drain(plan, state, Direction.FORWARD, seen, "eligible, and following closely")


def _unearned(plan: Plan, state: State, seen: Observation) -> Move | None:
    """A follower that was found to differ is promoted by nobody before it is found equal again (S12)."""
    follower = plan.peer(seen.grant.serving)
    if state.clean is not False or follower not in seen.grant.eligible:
        return None
    return Move(state.stage, (Disqualify(follower),), f"a compare found that {follower!r} differs")


def _drain(plan: Plan, state: State, direction: Direction, seen: Observation, because: str) -> Move | Wait:
    """Close the leaving site *in its database* before its end of log is worth anything.

    A write accepted between a look at the log and a later fence would be lost
    (vitess#16563).
    """
    if state.drains >= plan.gates.drain_attempts:
        return Wait(f"an operator runs `cutover resume` ({state.drains} drains in a row were given up)")
    limit = TOUCHED_MAX_UNDER_LOAD if state.delta_compared else TOUCHED_MAX
    much = _compare_what_was_touched(plan, state, direction, seen, limit)
    if much is not None:
        return much
    leaving = plan.leaving(direction)
    return Move(Stage.DRAIN, (DeclareDrain(leaving), CloseSite(leaving)), because, direction)


def _from_drain(plan: Plan, state: State, seen: Observation) -> Decision:
    arriving = plan.arriving(state.direction)
    facts = _facts(plan, seen, arriving)
    if facts is not None and facts.brake:
        return _look(facts.brake)
    if not seen.drained:
        return Wait(f"{arriving!r} has applied the log of {plan.leaving(state.direction)!r} to its end")
    actions: tuple[Action, ...] = (
        MoveSequences(arriving),
        VerifyDelta(arriving),
        GrantEpoch(arriving),
        OpenSite(arriving),
    )
    return Move(Stage.CUT_OVER, actions, "closed, and its log is applied to the end", state.direction)


def _compare_what_was_touched(
    plan: Plan, state: State, direction: Direction, seen: Observation, limit: int
) -> Move | Wait | None:
    """While writes flow, so that few rows are left to compare in the write pause."""
    arriving = plan.arriving(direction)
    facts = _facts(plan, seen, arriving)
    if facts is None:
        return Wait(f"{arriving!r} answers again") if limit < TOUCHED_MAX_AT_REST else None
    if facts.touched <= limit:
        return None
    return Move(state.stage, (VerifyDelta(arriving),), f"{facts.touched} rows were touched since the compare")


def _from_cut_over(plan: Plan, state: State, seen: Observation) -> Decision:
    arriving = plan.arriving(state.direction)
    if not seen.takes_writes:
        return Wait(f"{arriving!r} takes writes")
    if state.direction is Direction.FORWARD:
        return Move(Stage.SOAK, (Follow(plan.source, backfill=False),), f"{arriving!r} takes writes")
    return Move(Stage.ROLLED_BACK, _unlink(plan), f"{arriving!r} takes writes again", Direction.BACK)


def _from_parted(plan: Plan, state: State, seen: Observation) -> Decision:
    """The site that was left comes home: listed, merged, following again, compared, eligible."""
    parted = seen.grant.parted
    if parted is None:  # it has ended, and the coordinator died before it wrote that down
        return _reunited(plan, state, seen)
    left, survivor = parted.left, seen.grant.serving
    if _facts(plan, seen, survivor) is None:
        return Wait(f"{survivor!r} answers again: it serves alone")
    if _facts(plan, seen, left) is None:
        return Wait(f"{left!r} answers again; {_announced(parted.unsent)} may be stranded there")
    if not state.listed:
        actions: tuple[Action, ...] = (
            Unfollow(left),
            Unfollow(survivor),
            CloseSite(left),
            ListStranded(left),
        )
        return Move(Stage.PARTED, actions, f"{left!r} is back: it stays closed, and is listed")
    if not state.merged:
        if not state.merge_approved and (plan.gates.approve_merge or state.listed_brake):
            why = f": {state.listed_brake}" if state.listed_brake else ""
            return Wait(f"an operator reads `cutover stranded list` and runs `cutover stranded merge`{why}")
        if not _takes_writes(plan, seen, survivor):
            return Wait(f"{survivor!r} accepts writes")
        actions = (
            MergeStranded(left),
            Follow(left, backfill=False, rejoin=True),
            Follow(survivor, backfill=False),
        )
        return Move(Stage.PARTED, actions, f"what {left!r} had not sent comes home")
    late = _not_following_closely(plan, _towards(plan, survivor), seen)
    if late is not None:
        return late
    if state.clean is None:
        return Move(Stage.PARTED, (CompareSites(),), "both sites must be equal before one may be promoted")
    if not state.clean:
        return Wait("what differs is mended and `cutover verify` finds both sites equal")
    return Move(Stage.PARTED, (EndParting(left),), "a full compare was clean")


def _takes_writes(plan: Plan, seen: Observation, site: str) -> bool:
    facts = _facts(plan, seen, site)
    return facts is not None and facts.fence.state is FenceState.OPEN


def _towards(plan: Plan, serving: str) -> Direction:
    """The direction of a cutover that would leave the site that serves."""
    return Direction.FORWARD if serving == plan.source else Direction.BACK


def _announced(unsent: Unsent) -> str:
    seconds = (
        "an unknown time" if unsent.seconds is None else f"{unsent.seconds:.1f} s before its last renewal"
    )
    count = "an unknown number of" if unsent.transactions is None else f"up to {unsent.transactions}"
    return f"{count} transactions of {seconds}, and what it wrote within its last lease,"


def _reunited(plan: Plan, state: State, seen: Observation) -> Move:
    if seen.grant.serving == plan.target:
        return Move(Stage.SOAK, (), "both sites are one again, and the target serves")
    return Move(Stage.VERIFY, (), "both sites are one again, and the source serves", Direction.FORWARD)


def _from_soak(plan: Plan, state: State, seen: Observation) -> Decision:
    unearned = _unearned(plan, state, seen)
    if unearned is not None:
        return unearned
    if state.wanted is Intent.COMPLETE:
        for site, facts in ((plan.source, seen.source), (plan.target, seen.target)):
            if facts is None:
                return Wait(f"{site!r} answers again (`cutover abandon` ends it without)")
            if facts.kept:
                return Wait(f"{facts.kept} version(s) in quarantine are decided (`cutover quarantine list`)")
        return Move(Stage.COMPLETE, _unlink(plan), "an operator completes")
    if state.clean is None:
        return Move(Stage.SOAK, (CompareSites(),), "a compare was asked for")
    if not state.clean:
        return Wait("what differs is mended and `cutover verify` finds both sites equal")
    if plan.source not in seen.grant.eligible:
        return Move(Stage.SOAK, (MarkEligible(plan.source),), "a full compare was clean")
    if state.wanted is Intent.ROLL_BACK:
        late = _not_following_closely(plan, Direction.BACK, seen)
        if late is not None:
            return late
        because = "an operator rolls back, with the target's writes kept"
        return _drain(plan, state, Direction.BACK, seen, because)
    much = _compare_what_was_touched(plan, state, Direction.BACK, seen, TOUCHED_MAX_AT_REST)
    if much is not None:
        return much
    return Wait("an operator runs `cutover complete` or `cutover roll-back`")


def _undo_switch(plan: Plan, state: State, seen: Observation) -> Move | None:
    """While the register still names the leaving site, a drain can end without a cutover."""
    leaving, stands = plan.leaving(state.direction), seen.grant.drain is not None
    reopen: tuple[Action, ...] = (GiveUpDrain(leaving), OpenSite(leaving))
    before = Stage.VERIFY if state.direction is Direction.FORWARD else Stage.SOAK
    if not stands and not any(isinstance(action, DeclareDrain) for action in state.pending):
        return Move(before, reopen, "the drain was given up at its deadline", Direction.FORWARD)
    if state.wanted is Intent.ROLL_BACK and state.direction is Direction.FORWARD:
        actions = (*reopen, *_leave_source(plan, state))
        return Move(Stage.ROLLED_BACK, actions, "an operator rolls back", Direction.BACK)
    if stands and seen.drain_overdue:
        return Move(before, reopen, "the drain has outlived its deadline", Direction.FORWARD)
    if state.stage is Stage.CUT_OVER and state.clean is False:
        return Move(before, reopen, "the sites differ after the drain", Direction.FORWARD)
    return None


def _roll_back_early(plan: Plan, state: State) -> Move:
    if state.stage is Stage.PREFLIGHT:
        return Move(Stage.ROLLED_BACK, (), "an operator rolls back; nothing was changed", Direction.BACK)
    return Move(Stage.ROLLED_BACK, _leave_source(plan, state), "an operator rolls back", Direction.BACK)


def _leave_source(plan: Plan, state: State) -> tuple[Action, ...]:
    """The source first, so that a dead target cannot keep it from being free.

    What was copied stays at the target, behind its closed fence. After a parting
    the source may hold versions in quarantine that nobody has decided on, and
    they would go with its fence: so that stays until `cutover uninstall`.
    """
    if state.parted:
        return _unlink(plan)
    return (
        Disqualify(plan.target),
        Unfollow(plan.source),
        ReleaseLog(plan.source),
        RemoveFence(plan.source),
        Unfollow(plan.target),
        ReleaseLog(plan.target),
    )


def _unlink(plan: Plan) -> tuple[Action, ...]:
    """Nobody may be promoted who does not follow; and both workers are stopped for good before either
    log is let go (minio#20080).
    """
    return (
        Disqualify(plan.source),
        Disqualify(plan.target),
        Unfollow(plan.source),
        Unfollow(plan.target),
        ReleaseLog(plan.source),
        ReleaseLog(plan.target),
    )


def _not_following_closely(plan: Plan, direction: Direction, seen: Observation) -> Wait | None:
    """Why writes may not be stopped yet: each reason would make the pause longer than its deadline."""
    leaving, arriving = plan.leaving(direction), plan.arriving(direction)
    serving, follower = _facts(plan, seen, leaving), _facts(plan, seen, arriving)
    if serving is None:
        return Wait(f"{leaving!r} answers again")
    if follower is None:
        return Wait(f"{arriving!r} answers again")
    if serving.fence.state is not FenceState.OPEN:
        return Wait(f"{leaving!r} accepts writes again")
    for facts in (follower, serving):
        if facts.brake:
            return _look(facts.brake)
        if facts.set_aside:
            aside = f"{facts.set_aside} row(s) that were set aside are resolved"
            return Wait(f"{aside} (`cutover quarantine list`)")
    if seen.lag_seconds > plan.gates.lag_seconds:
        now = "not known" if isinf(seen.lag_seconds) else f"now {seen.lag_seconds:.2f} s"
        return Wait(f"lag is {plan.gates.lag_seconds:.2f} s or less ({now})")
    return None


def _braked(plan: Plan, state: State, seen: Observation) -> list[str]:
    """The sites that stand still for just the reason that the operator has looked at."""
    looks = {plan.source: seen.source, plan.target: seen.target}
    return [site for site, facts in looks.items() if facts is not None and facts.brake == state.release]


def _look(brake: str) -> Wait:
    return Wait(f"an operator looks and runs `cutover brake release`: {brake}")


def _facts(plan: Plan, seen: Observation, site: str) -> SiteFacts | None:
    return seen.source if site == plan.source else seen.target
