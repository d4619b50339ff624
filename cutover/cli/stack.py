"""`cutover stack`: two sites and a witness as processes of this machine.

The only file of ours that reaches for `infra`, and only when it is called: the
embedded stack belongs to the repository and is not in the wheel.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated, TypeVar

import typer

from cutover.cli.answer import Answer, Outcome

DEFAULT = "main"
"""Name of the stack when none is given."""

_Result = TypeVar("_Result")

StackName = Annotated[
    str | None,
    typer.Option(
        "--stack",
        metavar="STACK",
        envvar="CUTOVER_STACK",
        help=f"embedded or embedded:NAME (embedded is embedded:{DEFAULT}).",
        show_default=False,
    ),
]


def up(
    *,
    stack: StackName = None,
    schema: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="SQL file run in each new database; else the sample platform's."),
    ] = None,
    s3_server: Annotated[
        str, typer.Option(metavar="NAME", help="Which object store each place runs: own or versitygw.")
    ] = "own",
) -> Answer:
    """Bring up two sites and a witness, with the sample platform, and leave them up."""
    name = _name(stack)

    async def work(runtime: ModuleType) -> Answer:
        from cutover.cli.migration import say

        made = await runtime.EmbeddedStack.up(
            name, keep=True, schema=schema or _sample_schema(), s3_server=s3_server, progress=say
        )
        path = made.outputs_file()
        await made.close()
        return Answer(
            text=f"stack {name} is up; its outputs: {path}",
            next_steps=("cutover stack status --json", "cutover plan check PLAN"),
            details={"outputs": str(path)},
        )

    return _in_runtime(work)


def status(*, stack: StackName = None) -> Answer:
    """Say what runs; with `--json`, print the outputs contract: where everything is."""
    name = _name(stack)

    async def work(runtime: ModuleType) -> Answer:
        made = await runtime.EmbeddedStack.attach(name)
        try:
            seen = await made.status()
            text = "\n".join(_line(process) for process in seen["processes"])
            return Answer(text=f"stack {name}\n{text}", document=made.outputs().to_json())
        finally:
            await made.close()

    return _in_runtime(work)


def down(
    *,
    stack: StackName = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every stack of this user, and what killed ones left behind.")
    ] = False,
) -> Answer:
    """End a stack with all its processes, and remove its files and its data."""

    async def work(runtime: ModuleType) -> Answer:
        if everything:
            return _gone(await runtime.down_all())
        name = _name(stack)
        await (await runtime.EmbeddedStack.attach(name)).down()
        return _gone([name])

    return _in_runtime(work)


def _gone(names: list[str]) -> Answer:
    return Answer(text=f"down: {', '.join(names) or 'none was up'}", details={"down": names})


def _name(stack: str | None) -> str:
    kind, _, name = (stack or "embedded").partition(":")
    if kind != "embedded":
        raise typer.BadParameter(
            f"{stack!r}: only embedded stacks are handled here; say embedded or embedded:NAME"
        )
    return name or DEFAULT


def _line(process: dict[str, object]) -> str:
    if not process["alive"]:
        return f"  {process['name']}: ended with status {process.get('exit_status')}"
    state = "paused" if process.get("paused") else "ready" if process.get("ready") else "starting"
    return f"  {process['name']}: {state} (pid {process['pid']})"


def _in_runtime(work: Callable[[ModuleType], Awaitable[Answer]]) -> Answer:
    """Run `work` with the embedded runtime; its errors are refusals."""
    import asyncio

    from cutover.errors import BadInput

    _let_in_checkout()
    try:
        from infra.embedded import stack as runtime
        from infra.embedded.errors import StackError
    except ModuleNotFoundError as error:
        raise BadInput(
            f"embedded stacks need the checkout of the repository and its extra `embedded`; "
            f"{error.name!r} is not there. Run this from the checkout, or name an outputs.json with --stack."
        ) from None

    async def guarded() -> Answer:
        try:
            return await work(runtime)
        except StackError as error:
            return Answer(
                outcome=Outcome.REFUSED,
                error=str(error),
                next_steps=("cutover stack status", "cutover stack up"),
            )

    return asyncio.run(guarded())


def _let_in_checkout() -> None:
    """Put the checkout that this package runs from behind everything else that can be imported."""
    import sys

    checkout = Path(__file__).parents[2]
    if (checkout / "infra" / "embedded").is_dir() and str(checkout) not in sys.path:
        sys.path.append(str(checkout))


def _sample_schema() -> Path | None:
    from importlib.util import find_spec

    found = find_spec("sample_platform")
    folder = next(iter(found.submodule_search_locations or []), None) if found else None
    schema = Path(folder) / "schema.sql" if folder else None
    return schema if schema and schema.exists() else None
