"""The `cutover-drill` command: one file a subcommand."""

import sys

OF_THE_CHECKOUT = ("infra", "sample_platform")
"""What drills run on belongs to the repository, and is not in the wheel."""


def main() -> None:
    """Run the command line of this process; never ends with 1 or 2, which a traceback uses."""
    try:
        from drill.cli.application import run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in OF_THE_CHECKOUT:
            raise
        sys.stderr.write(
            f"cutover-drill: {error.name!r} is not installed: drills run from a checkout of the repository, "
            f"with the stack and the platform that they move. Get one, then run ./scripts/gate there.\n"
        )
        sys.exit(12)
    sys.exit(run(sys.argv[1:]))
