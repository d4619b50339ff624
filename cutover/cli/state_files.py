"""What this user's state folder knows of stacks: read without the code that makes them."""

import json
import os
from pathlib import Path

EMBEDDED, DOCKER, PULUMI = "embedded", "docker", "pulumi"
"""What a stack can be made of, as `--stack` names it: processes, containers, or what Pulumi made."""

DEFAULT = "main"
"""Name of the stack when none is given."""


def state_folder() -> Path:
    """Where this user's stacks and plans are remembered."""
    given = os.environ.get("CUTOVER_STATE")
    return Path(given).absolute() if given else Path(f"/var/tmp/cutover-{os.geteuid()}")


def stacks_folder() -> Path:
    """Where each stack has a folder of its name."""
    return state_folder() / "stacks"


def stacks_here() -> list[Path]:
    """The outputs of every stack that this machine knows, whatever it is made of."""
    return sorted(stacks_folder().glob("*/outputs.json"))


def outputs_here(name: str) -> Path:
    """Where the outputs of a stack of this machine lie, if it is up."""
    return stacks_folder() / name / "outputs.json"


def kind_of(outputs: Path) -> str:
    """What the stack is made of whose files lie there; of processes, where nothing else is written down."""
    try:
        document = json.loads(outputs.with_name("stack.json").read_text())
    except (OSError, ValueError):
        return EMBEDDED
    if document.get("kind") != "containers":
        return EMBEDDED
    return PULUMI if document.get("made_by") == PULUMI else DOCKER
