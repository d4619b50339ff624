"""The `pulumi` command, run in the checkout: up, destroy, and what a stack publishes.

Pulumi alone knows its state, so nothing here looks for another way when the command is missing.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

from infra.components.exports import Published
from infra.embedded.errors import StackError

CHECKOUT = Path(__file__).resolve().parents[2]

NAME = re.compile(r"[A-Za-z0-9_][\w.-]*(/[\w.-]+){0,2}")
"""As Pulumi names stacks: STACK, ORGANIZATION/STACK or ORGANIZATION/PROJECT/STACK."""

STDERR = 2
LAST_LINES = 3


class PulumiMissing(StackError):
    """There is no `pulumi` command here."""

    def __init__(self) -> None:
        super().__init__(
            "`pulumi` is not on PATH. Install the Pulumi CLI (https://www.pulumi.com/docs/install/) and make "
            "the stack known here with `pulumi stack select`; or use --stack docker, which applies the same "
            "program to the Docker engine here without it, or name an outputs.json with --stack."
        )


class PulumiFailed(StackError):
    """The `pulumi` command did not do what it was asked for, or answered what cannot be read."""


def deploy(name: str) -> None:
    """Run `pulumi up`; what it says goes to standard error. Raises PulumiMissing and PulumiFailed."""
    _run("up", "--yes", "--stack", _checked(name))


def destroy(name: str) -> None:
    """Run `pulumi destroy`; what it says goes to standard error. Raises PulumiMissing and PulumiFailed."""
    _run("destroy", "--yes", "--stack", _checked(name))


def read(name: str) -> Published:
    """Return what a stack published, its key among it. Raises PulumiMissing and PulumiFailed.

    No message holds anything of what was printed: secrets stand in it.
    """
    words = ("stack", "output", "--json", "--show-secrets", "--non-interactive", "--stack", _checked(name))
    ended = subprocess.run(
        [program(), *words], cwd=CHECKOUT, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if ended.returncode:
        said = ended.stderr.decode(errors="replace").strip().splitlines()[-LAST_LINES:]
        raise PulumiFailed(f"`pulumi {' '.join(words)}` ended with {ended.returncode}: {' '.join(said)}")
    try:
        return _usable(Published.read(json.loads(ended.stdout)))
    except json.JSONDecodeError as error:
        raise PulumiFailed(f"`pulumi {' '.join(words)}` printed no JSON: {error.msg}") from None
    except ValueError as error:
        raise PulumiFailed(f"stack {name!r} of Pulumi: {error}") from None


def _usable(published: Published) -> Published:
    """Return it when its secrets can be derived; else WeakKey."""
    _ = published.keys
    return published


def name_of(name: str) -> str:
    """Return what a stack calls its containers; its own name where it has not published any."""
    program()
    try:
        return read(name).settings.name
    except PulumiFailed:
        return name.rpartition("/")[2]


def available() -> bool:
    """Say whether there is a `pulumi` command here."""
    return shutil.which("pulumi") is not None


def _run(*words: str) -> None:
    status = subprocess.call([program(), *words], cwd=CHECKOUT, stdout=STDERR)
    if status:
        raise PulumiFailed(
            f"`pulumi {' '.join(words)}` ended with {status}; what it said stands above. "
            f"The same command carries on from where it stopped."
        )


def program() -> str:
    """Return the path of the `pulumi` command. Raises PulumiMissing."""
    found = shutil.which("pulumi")
    if found is None:
        raise PulumiMissing
    return found


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise PulumiFailed(f"{name!r} is no name of a Pulumi stack; say pulumi:NAME, as in pulumi:dev")
    return name
