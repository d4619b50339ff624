"""Puts the subcommands together; a verdict becomes an exit status."""

import traceback
from collections.abc import Callable, Sequence

import typer

from cutover.cli.answer import Outcome
from drill.cli import gate, incidents, matrix, planted, report, run_one, sweep
from infra.disks.errors import DiskError
from infra.embedded.errors import StackError
from infra.images.errors import ImageError

EXITS = (
    "Exit status: 0 held; 10 violated; 11 inconclusive; 12 refused, nothing was run; 64 wrong usage; "
    "70 the harness crashed; 130 interrupted. Treat any other status as failure."
)


COMMANDS: dict[str, Callable[..., int]] = {
    "run": run_one.run,
    "gate": gate.gate,
    "sweep": sweep.sweep,
    "matrix": matrix.matrix,
    "planted": planted.planted,
    "incidents": incidents.incidents,
    "report": report.report,
}
"""Every command by its name."""


def make_application() -> typer.Typer:
    """The command line."""
    top = typer.Typer(
        help="Rehearses a cutover under faults, and judges what is left. " + EXITS,
        rich_markup_mode=None,
        add_completion=False,
        no_args_is_help=False,
    )
    for name, command in COMMANDS.items():
        top.command(name)(command)
    return top


def run(arguments: Sequence[str]) -> int:
    """Run one command line, and return its exit status."""
    try:
        status = make_application()(list(arguments), prog_name="cutover-drill", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except typer.TyperException as error:
        named = next((word for word in arguments if word in COMMANDS), "")
        shown = " ".join(["cutover-drill", *([named] if named else []), "--help"])
        typer.echo(f"cutover-drill: {error.format_message()}\nNext: {shown}", err=True)
        return Outcome.WRONG_USAGE.exit_status
    except (ValueError, OSError, StackError, ImageError, DiskError) as error:
        typer.echo(f"cutover-drill: {error}", err=True)
        return Outcome.REFUSED.exit_status
    except Exception:
        traceback.print_exc()
        return Outcome.CRASHED.exit_status
    if status == Outcome.INTERRUPTED.exit_status:  # how the library returns from Ctrl-C
        return _interrupted()
    return status if isinstance(status, int) else 0


def _interrupted() -> int:
    told = "interrupted; nothing is judged. The same command begins again, and a sweep goes on in its folder."
    typer.echo(f"cutover-drill: {told}", err=True)
    return Outcome.INTERRUPTED.exit_status
