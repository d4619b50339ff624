"""Puts the subcommands together; a verdict becomes an exit status."""

import traceback
from collections.abc import Sequence

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


def make_application() -> typer.Typer:
    """The command line."""
    top = typer.Typer(
        help="Rehearses a cutover under faults, and judges what is left. " + EXITS,
        rich_markup_mode=None,
        add_completion=False,
        no_args_is_help=False,
    )
    top.command("run")(run_one.run)
    top.command("gate")(gate.gate)
    top.command("sweep")(sweep.sweep)
    top.command("matrix")(matrix.matrix)
    top.command("planted")(planted.planted)
    top.command("incidents")(incidents.incidents)
    top.command("report")(report.report)
    return top


def run(arguments: Sequence[str]) -> int:
    """Run one command line, and return its exit status."""
    try:
        status = make_application()(list(arguments), prog_name="cutover-drill", standalone_mode=False)
    except KeyboardInterrupt:
        return Outcome.INTERRUPTED.exit_status
    except typer.Abort:
        return Outcome.INTERRUPTED.exit_status
    except typer.TyperException as error:
        typer.echo(f"cutover-drill: {error.format_message()}\nNext: cutover-drill --help", err=True)
        return Outcome.WRONG_USAGE.exit_status
    except (ValueError, OSError, StackError, ImageError, DiskError) as error:
        typer.echo(f"cutover-drill: {error}", err=True)
        return Outcome.REFUSED.exit_status
    except Exception:
        traceback.print_exc()
        return Outcome.CRASHED.exit_status
    return status if isinstance(status, int) else 0
