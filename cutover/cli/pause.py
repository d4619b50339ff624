"""`cutover pause`."""

from cutover.cli.answer import Answer
from cutover.cli.options import PlanOption, StackOption
from cutover.model.journal import Intent


def pause(*, plan: PlanOption = None, stack: StackOption = None) -> Answer:
    """Let a running migration stand still between two actions.

    Sites keep following each other and keep serving; nothing new is decided until `resume`.
    """
    from cutover.cli.migration import send

    return send(plan, stack, Intent.PAUSE, "asked to pause")
