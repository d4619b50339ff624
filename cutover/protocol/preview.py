"""What `run` would do from here, decided by the same function: the dry run."""

from dataclasses import replace

from cutover.model.action import (
    CloseSite,
    CompareSites,
    Disqualify,
    EndParting,
    GrantEpoch,
    ListStranded,
    MarkEligible,
    MergeStranded,
    VerifyDelta,
)
from cutover.model.observation import Fence, FenceState, Observation, SiteFacts
from cutover.model.plan import Plan
from cutover.model.position import Position
from cutover.model.register import Drain, Grant, Parting, Unsent
from cutover.model.stage import Stage
from cutover.protocol.advance import ENDED, advance
from cutover.protocol.moves import CarryOn, Move, Wait
from cutover.protocol.replay import State

SOMEWHERE = Position("preview", 1, 0)
MOVES_MAX = 40
"""More moves than any migration has: a preview that reaches it would be a bug in the protocol."""


def preview(plan: Plan, state: State, grant: Grant | None) -> list[Move]:
    """The moves from `state` to where an operator is asked, if all goes well.

    What the last move left undone comes first, as a move to the same stage.
    """
    moves: list[Move] = []
    if state.pending:
        moves.append(Move(state.stage, state.pending, "the last move was not finished", state.direction))
        state = _finished(state)
    eligible: tuple[str, ...] = ()
    if state.stage is Stage.SOAK:
        eligible = (plan.source,)  # since the epoch was granted
    if grant is not None:
        eligible = grant.eligible
    apart = state.stage is Stage.PARTED
    for _ in range(MOVES_MAX):
        decision = advance(plan, state, _calm(plan, state, grant, eligible=eligible, apart=apart))
        if isinstance(decision, Wait | CarryOn):
            break
        moves.append(decision)
        apart = apart and not any(isinstance(action, EndParting) for action in decision.actions)
        eligible = _eligible_after(plan, eligible, decision)
        state = _finished(_moved(state, decision))
        if state.stage in ENDED:
            break
    return moves


def given_up(plan: Plan, state: State) -> Move:
    """The move that ends a drain which outlives its deadline, or which an operator gives up: none is calm."""
    draining = replace(state, stage=Stage.DRAIN)
    seen = replace(_calm(plan, draining, None, eligible=(), apart=False), drained=False, drain_overdue=True)
    decision = advance(plan, draining, seen)
    if not isinstance(decision, Move):
        raise TypeError(f"an overdue drain is not ended: {decision}")
    return decision


def granted(plan: Plan, serving: str) -> Grant:
    """A register that names a site, and nothing else that matters to a preview."""
    return Grant(
        migration="",
        revision=0,
        nonce="",
        term=0,
        epoch=1,
        serving=serving,
        lease_holder=serving,
        lease_seconds=plan.lease.seconds,
        lease_count=1,
        eligible=(),
    )


def _eligible_after(plan: Plan, eligible: tuple[str, ...], move: Move) -> tuple[str, ...]:
    """Who may be promoted once a move is carried out."""
    for action in move.actions:
        match action:
            case MarkEligible(site):
                eligible = (site,)
            case GrantEpoch(site):
                eligible = (plan.peer(site),)
            case EndParting(left):
                eligible = (left,)
            case Disqualify(site):
                eligible = tuple(name for name in eligible if name != site)
            case _:
                pass
    return eligible


def _moved(state: State, move: Move) -> State:
    return replace(state, stage=move.stage, direction=move.direction, pending=move.actions)


def _finished(state: State) -> State:
    compared = any(isinstance(action, CompareSites | VerifyDelta) for action in state.pending)
    closed = any(isinstance(action, CloseSite) for action in state.pending)
    listed = any(isinstance(action, ListStranded) for action in state.pending)
    merged = any(isinstance(action, MergeStranded) for action in state.pending)
    return replace(
        state,
        pending=(),
        listed=state.listed or listed,
        merged=state.merged or merged,
        clean=True if compared else state.clean,
        end=SOMEWHERE if closed else state.end,
    )


def _calm(
    plan: Plan, state: State, grant: Grant | None, *, eligible: tuple[str, ...], apart: bool
) -> Observation:
    """Both sites answer, nothing differs, nobody is late."""
    fence = Fence(state=FenceState.OPEN, epoch=1, lease_live=True)
    facts = SiteFacts(fence=fence, end=SOMEWHERE, slot=True)
    return Observation(
        grant=_calm_grant(plan, state, grant, eligible=eligible, apart=apart),
        source=facts,
        target=facts,
        lag_seconds=0.0,
        drained=True,
        drain_overdue=False,
        takes_writes=True,
    )


def _parting(plan: Plan, survivor: str, epoch: int) -> Parting:
    return Parting(left=plan.peer(survivor), epoch=epoch, term=0, unsent=Unsent(), by="agent")


def _calm_grant(
    plan: Plan, state: State, grant: Grant | None, *, eligible: tuple[str, ...], apart: bool
) -> Grant:
    """As the register will read when this stage was reached."""
    serving = plan.source
    if state.stage in (Stage.SOAK, Stage.COMPLETE, Stage.PARTED):
        serving = plan.target
    if state.stage is Stage.DRAIN:
        serving = plan.leaving(state.direction)
    if state.stage is Stage.CUT_OVER:
        serving = plan.arriving(state.direction)
    base = grant or granted(plan, serving)
    serving = grant.serving if grant is not None and state.stage is Stage.PARTED else serving
    stands = Drain(leaving=serving, seconds=plan.gates.drain_seconds, term=0, entry=0)
    return replace(
        base,
        serving=serving,
        lease_count=max(1, base.lease_count),
        eligible=eligible,
        drain=stands if state.stage is Stage.DRAIN else None,
        parted=_parting(plan, serving, state.parted) if apart else None,
    )
