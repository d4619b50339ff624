"""`cutover approve`."""

from cutover.cli.answer import Answer
from cutover.cli.options import PlanOption, StackOption


def approve(*, plan: PlanOption = None, stack: StackOption = None) -> Answer:
    """Let a migration whose plan says `approve_cutover` stop writes and cut over.

    May be given before the migration asks for it.
    """
    from cutover.cli.migration import send

    return send(plan, stack, None, "approved")
