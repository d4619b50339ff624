"""The `cutover` command: one file a subcommand, and the only place that picks adapters."""

import sys


def main() -> None:
    """Run the command line of this process; never ends with 1 or 2, which a traceback uses."""
    from cutover.cli.application import run

    sys.exit(run(sys.argv[1:]))
