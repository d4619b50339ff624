"""Which code a drill was run with."""

import subprocess
from pathlib import Path


def commit_here() -> str | None:
    """The commit of the checkout that this runs from; None outside one, and where there is no git."""
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None
