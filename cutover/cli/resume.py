"""`cutover resume`."""

from cutover.cli.answer import Answer
from cutover.cli.options import PlanOption, StackOption
from cutover.model.journal import Intent


def resume(*, plan: PlanOption = None, stack: StackOption = None) -> Answer:
    """Let a paused migration go on, or let it drain again after drains were given up.

    What stood still is looked at anew; nothing is repeated that is known to be done.
    """
    from cutover.cli.migration import send

    return send(plan, stack, Intent.RESUME, "asked to go on")
