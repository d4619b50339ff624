"""The options of `pytest resilience_tests`: which drills to run, on which stack, from which seed.

Loaded by this repository's own configuration (`-p drill.pytest_plugin`) and not by
an entry point: whoever installs the wheel does not get `--seed` and `--stack` in
every pytest of theirs.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from drill.drills import SUITES, Drill, random_kills

if TYPE_CHECKING:
    from drill.live.stacks import Where

SLICE = "slice"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options."""
    group = parser.getgroup("drills", "live drills of a cutover")
    group.addoption(
        "--drills",
        default=SLICE,
        metavar="SUITE",
        help="slice (three drills, the default), smoke, full, power-cut (root only), random:N, or none",
    )
    group.addoption("--seed", type=int, default=1, help="what clients do and when random faults strike")
    group.addoption(
        "--stack",
        default="embedded",
        metavar="STACK",
        help="where to drill: embedded or docker, brought up for it; or a stack that stands: embedded:NAME, "
        "docker:NAME, pulumi:NAME, or its outputs.json",
    )
    group.addoption(
        "--s3-server",
        default="own",
        metavar="SERVER",
        help="which object store each place runs: as for `cutover-drill gate`",
    )
    group.addoption(
        "--keep-stack",
        action="store_true",
        help="leave the stack up afterwards (`cutover stack status --json`, `cutover stack down`)",
    )


def chosen_drills(config: pytest.Config) -> Sequence[Drill]:
    """The drills that the command line asks for. Raises pytest.UsageError."""
    return drills_called(str(config.getoption("--drills")), int(config.getoption("--seed")))


def chosen_place(config: pytest.Config) -> "Where":
    """Where the command line asks to drill. Raises pytest.UsageError."""
    import typer

    from drill.cli.options import place_named  # slow, and of use to the gate only

    try:
        return place_named(str(config.getoption("--stack")), str(config.getoption("--s3-server")))
    except typer.BadParameter as error:
        raise pytest.UsageError(error.message) from None


def drills_called(name: str, seed: int) -> Sequence[Drill]:
    """The drills of a suite, none for `none`. Raises pytest.UsageError when no suite has that name."""
    kind, _, count = name.partition(":")
    if name == "none":
        return ()
    if name == SLICE:
        return short_slice(seed)
    if kind == "random" and count.isdigit() and int(count) > 0:
        return random_kills(seed, int(count))
    if name not in SUITES:
        raise pytest.UsageError(
            f"no suite is called {name!r}: give --drills {SLICE}, {', '.join(SUITES)}, random:N (N kills "
            f"at seeded random moments) or none"
        )
    return SUITES[name](seed)


def short_slice(seed: int) -> Sequence[Drill]:
    """A calm migration to its end, and one kill of either site: what every test run can afford."""
    return (
        Drill(seed=seed, ending="complete"),
        Drill(seed=seed + 1, fault="kill", victim="source", point="drain"),
        Drill(seed=seed + 2, fault="kill", victim="target", point="verify"),
    )
