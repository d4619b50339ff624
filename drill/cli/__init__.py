"""The `cutover-drill` command: one file a subcommand."""

import sys


def main() -> None:
    """Run the command line of this process; never ends with 1 or 2, which a traceback uses."""
    from drill.cli.application import run

    sys.exit(run(sys.argv[1:]))
