"""What must go wrong first, so that a migration comes by a crash point that a calm one never sees."""

from cutover.model.stage import Stage
from drill.points import Point
from drill.schedule import TIME, Strike

AWAY_SECONDS = 7.0
"""How long a site is lost: longer than a lease and its margin."""
OVERDUE_SECONDS = 6.0
"""How long a worker stands still: longer than the sample plan lets a drain take."""

SETTLED = f"{TIME}6.000"
"""When the source has followed the target for longer than a renewal takes, so that it may be promoted (s)."""

LOST = (
    Strike(fault="cut-then-kill", victim="target", point=SETTLED, seconds=AWAY_SECONDS),
    Strike(fault="cut-then-kill", victim="source", point="verify/mark-eligible:after", seconds=AWAY_SECONDS),
)
"""Either site, when its peer may be promoted, with something that it has not sent."""

STUCK = {
    Stage.VERIFY.value: Strike(
        fault="pause", victim="worker", point="drain/close-site:before", seconds=OVERDUE_SECONDS
    ),
    Stage.SOAK.value: Strike(
        fault="pause", victim="worker-source", point="back/drain/close-site:before", seconds=OVERDUE_SECONDS
    ),
}
"""Who does not come to the end of the log, by the stage to which an overdue drain goes back."""


def ways_to(point: Point) -> list[tuple[Strike, ...]]:
    """Every way by which a migration comes by this point: what strikes first; nothing, by most."""
    if point.parted:
        return [(strike,) for strike in LOST]
    if point.gives_up and point.stage in STUCK:
        return [(STUCK[point.stage],)]
    return [()]
