"""`cutover stack`: two sites and a witness, as processes, as containers, or as Pulumi made them.

The only file of ours that reaches for `infra`, and only when it is called: the
stacks belong to the repository and are not in the wheel.
"""

import asyncio
import shlex
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cutover.cli.answer import Answer, Outcome
from cutover.cli.state_files import (
    DEFAULT,
    DOCKER,
    EMBEDDED,
    PULUMI,
    kind_of,
    outputs_here,
    stacks_here,
    state_folder,
)

if TYPE_CHECKING:
    from psycopg import Error

_PROCESSES = "embedded stacks need the checkout of the repository and its extra `embedded`"

StackName = Annotated[
    str | None,
    typer.Option(
        "--stack",
        metavar="STACK",
        envvar="CUTOVER_STACK",
        help=f"embedded[:NAME] (processes), docker[:NAME] (containers of the Docker engine here) or "
        f"pulumi:NAME; without NAME it is {DEFAULT}, and without --stack the one of that name.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Named:
    """A stack as the command line names it."""

    kind: str
    name: str

    @classmethod
    def read(cls, stack: str | None) -> "Named":
        """Read `--stack`; without it, take the stack called main, whatever it is made of."""
        if stack is None:
            return cls(kind_of(outputs_here(DEFAULT)), DEFAULT)
        kind, _, name = stack.partition(":")
        if kind not in (EMBEDDED, DOCKER, PULUMI):
            raise typer.BadParameter(
                f"{stack!r}: only stacks of this machine and Pulumi's are handled here; say embedded, docker "
                f"(with :NAME for another than {DEFAULT}) or pulumi:NAME"
            )
        if kind == PULUMI and not name:
            raise typer.BadParameter("'pulumi': which stack of Pulumi's? Say pulumi:NAME, as in pulumi:dev")
        return cls(kind, name or DEFAULT)

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What `up` was told besides the name."""

    schema: Path | None
    s3_server: str
    image: str | None
    base: str | None
    power_cut: bool

    def must_fit(self, kind: str) -> None:
        """Refuse an option that means nothing to this kind of stack."""
        given = {
            "--schema": (self.schema is not None, (EMBEDDED,)),
            "--s3-server": (self.s3_server != "own", (EMBEDDED, DOCKER)),
            "--image": (self.image is not None, (DOCKER,)),
            "--base": (self.base is not None, (DOCKER,)),
            "--power-cut": (self.power_cut, (EMBEDDED, DOCKER)),
        }
        for option, (is_given, kinds) in given.items():
            if is_given and kind not in kinds:
                of_pulumi = "; a stack of Pulumi's is configured with `pulumi config set`"
                raise typer.BadParameter(
                    f"{option} is for --stack {' or '.join(kinds)}, not for {kind}"
                    f"{of_pulumi if kind == PULUMI else ''}"
                )


def up(
    *,
    stack: StackName = None,
    schema: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="embedded: SQL file run in each new database; else the sample platform's.",
        ),
    ] = None,
    s3_server: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Which object store each place runs: own or versitygw; or the URL of one that stands "
            "already, with S3_ACCESS_KEY and S3_SECRET_KEY in the environment.",
        ),
    ] = "own",
    image: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE",
            help="docker: image that holds our code; else one of this checkout, built when it is not there.",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="IMAGE", help="docker: image to build on; else one made of Debian's packages."),
    ] = None,
    power_cut: Annotated[
        bool,
        typer.Option(
            "--power-cut",
            help="embedded, docker: put each site's data on a disk whose power can be cut; needs root.",
        ),
    ] = False,
) -> Answer:
    """Bring up two sites and a witness, with the sample platform, and leave them up.

    For pulumi:NAME this is `pulumi up --yes`, without asking: look at the plan first with `pulumi preview`.
    """
    named = Named.read(stack)
    wishes = Wishes(schema=schema, s3_server=s3_server, image=image, base=base, power_cut=power_cut)
    wishes.must_fit(named.kind)
    work = {EMBEDDED: _up_of_processes, DOCKER: _up_of_containers, PULUMI: _up_of_pulumi}[named.kind]
    return _guarded(lambda: work(named, wishes), stack)


async def _up_of_processes(named: Named, wishes: Wishes) -> Answer:
    from cutover.cli.migration import say

    processes = _processes()
    from psycopg import Error  # of the extra `embedded`, like them

    if await _given_back(named, _lent_processes().LentStack):
        return _is_up(named, outputs_here(named.name))
    if wishes.schema:
        _must_be_readable(wishes.schema)
    try:
        made = await processes.EmbeddedStack.up(
            named.name,
            keep=True,
            schema=wishes.schema or _sample_schema(),
            s3_server=wishes.s3_server,
            power_cut=wishes.power_cut,
            progress=say,
        )
    except Error as error:
        if wishes.schema is None or error.sqlstate is None:  # not what the server says of the user's SQL
            raise
        raise _refused_sql(wishes.schema, error) from None
    await made.close()
    return _is_up(named, made.outputs_file())


def _must_be_readable(schema: Path) -> None:
    """Raise BadInput now, and not when the databases are up."""
    from cutover.errors import BadInput

    try:
        schema.open("rb").close()
    except OSError as error:
        raise BadInput(
            f"schema {str(schema)!r} cannot be read: {error.strerror}. Nothing was brought up. "
            f"Give --schema the path of a file with SQL."
        ) from None


def _refused_sql(schema: Path, error: "Error") -> Exception:
    """What the server said of the user's file, with the line where it stumbled."""
    from cutover.errors import BadInput

    said, detail, place = (
        error.diag.message_primary,
        error.diag.message_detail,
        error.diag.statement_position,
    )
    text = schema.read_text(encoding="utf-8", errors="replace")
    line = "" if place is None else f", line {text[: int(place) - 1].count(chr(10)) + 1}"  # counted from 1
    return BadInput(
        f"schema {str(schema)!r}{line}: PostgreSQL refused it, run as the role 'platform': {said}"
        f"{f' ({detail})' if detail else ''}. The stack was taken down again. Mend the file, and run "
        f"`cutover stack up` again."
    )


async def _up_of_containers(named: Named, wishes: Wishes) -> Answer:
    from cutover.cli.migration import say

    runtime = _containers()
    for package in ("pulumi", "pulumi_docker"):
        _imported(
            package, "a stack of containers is made by the Pulumi program, and needs the extra `pulumi`"
        )
    if await _given_back(named, runtime.StandingStack):
        return _is_up(named, outputs_here(named.name))
    made = await runtime.up(
        named.name,
        keep=True,
        image=wishes.image,
        base=wishes.base,
        power_cut=wishes.power_cut,
        s3_server=wishes.s3_server,
        progress=say,
    )
    await made.close()
    return _is_up(named, made.outputs_file())


async def _given_back(named: Named, lent: Any) -> bool:
    """Say whether the stack was up, lent to a harness that was killed, and was given back."""
    from cutover.cli.migration import say

    errors = _imported("infra.embedded.errors", _PROCESSES)
    found = outputs_here(named.name)
    if not found.exists() or kind_of(found) != named.kind:
        return False
    try:
        if not await lent.settle_loan(named.name, say):
            return False
    except errors.NoSuchStack:  # nothing of it is up any more: a new one takes its place
        return False
    say("a harness that drilled on it was killed: it was given back")
    return True


async def _up_of_pulumi(named: Named, _: Wishes) -> Answer:
    from cutover.cli.migration import say

    cli, folder = _module("pulumi_cli"), _module("pulumi_folder")
    cli.program()
    say(f"`pulumi up --yes --stack {named.name}`; `pulumi preview --stack {named.name}` shows a plan first")
    await asyncio.to_thread(cli.deploy, named.name)
    published = await asyncio.to_thread(cli.read, named.name)
    path = await asyncio.to_thread(folder.publish_here, published)
    if folder.is_lent(path.parent.name):
        say("a harness that drilled on it was killed: it is given back")
        await (await _containers().of_pulumi(named.name, progress=say)).close()
        if folder.is_lent(path.parent.name):
            errors = _imported("infra.embedded.errors", _PROCESSES)
            raise errors.StackError(f"{named} is up, and was not given back: see above")
    return _is_up(named, path)


def _is_up(named: Named, path: Path) -> Answer:
    given = "" if named == Named(EMBEDDED, DEFAULT) else f" --stack {named}"
    return Answer(
        text=f"stack {named} is up; its outputs: {path}",
        next_steps=(f"cutover stack status{given} --json", f"cutover plan check PLAN{given}"),
        details={"outputs": str(path)},
    )


def status(*, stack: StackName = None) -> Answer:
    """Say what runs; with `--json`, print the outputs contract: where everything is."""
    named = Named.read(stack)
    return _guarded(lambda: _status_of_pulumi(named) if named.kind == PULUMI else _status(named), stack)


async def _status(named: Named) -> Answer:
    made = await _attached(named)
    try:
        seen = await made.status()
        return _seen(named, seen["processes"], made.outputs().to_json())
    finally:
        await made.close()


async def _status_of_pulumi(named: Named) -> Answer:
    path = await asyncio.to_thread(outputs_of_pulumi, named.name)
    look = _containers().look
    return _seen(named, await look(path.parent.name), path.read_text())


def _seen(named: Named, processes: list[Mapping[str, Any]], document: str) -> Answer:
    text = "\n".join(_line(process) for process in processes)
    return Answer(text=f"stack {named}\n{text}", document=document)


def _line(process: Mapping[str, Any]) -> str:
    if not process["alive"]:
        return f"  {process['name']}: ended with status {process.get('exit_status')}"
    state = "paused" if process.get("paused") else "ready" if process.get("ready") else "starting"
    return f"  {process['name']}: {state} (pid {process['pid']})"


def down(
    *,
    stack: StackName = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all", help="Every stack of this user but Pulumi's, and what killed ones left behind."
        ),
    ] = False,
) -> Answer:
    """End a stack with all that it consists of, and remove its files and its data.

    For pulumi:NAME this is `pulumi destroy --yes`: what Pulumi made, Pulumi alone takes down.
    """
    if everything:
        return _guarded(_all_down, stack)
    named = Named.read(stack)
    return _guarded(lambda: _down_of_pulumi(named) if named.kind == PULUMI else _down(named), stack)


async def _down(named: Named) -> Answer:
    _must_be_free(named)
    await (await _attached(named)).down()
    return _gone([named.name])


async def _down_of_pulumi(named: Named) -> Answer:
    from cutover.cli.migration import say

    cli, folder = _module("pulumi_cli"), _module("pulumi_folder")
    here = await asyncio.to_thread(cli.name_of, named.name)
    folder.must_be_free(here)
    say(f"`pulumi destroy --yes --stack {named.name}`")
    await asyncio.to_thread(cli.destroy, named.name)
    await asyncio.to_thread(folder.forget, here)
    return _gone([named.name])


async def _all_down() -> Answer:
    """Containers last: where their engine does not answer, all else is down already, as far as it goes."""
    from cutover.errors import BadInput

    refusals: tuple[type[Exception], ...] = (*_refusals(), BadInput)
    stays = [path.parent.name for path in stacks_here() if kind_of(path) == PULUMI]
    gone: list[str] = []
    left: list[str] = []
    for what, down in (("processes", _processes().down_all), ("containers", _containers_down)):
        try:
            gone += [name for name in await down() if name not in stays]
        except refusals as error:
            left.append(f"{what} may be left: {error}")
    if left:
        return replace(_gone(gone, stays), outcome=Outcome.REFUSED, error="; ".join(left))
    return _gone(gone, stays)


async def _containers_down() -> list[str]:
    """Ask no engine where this user never had containers: such a machine may have none."""
    if not (state_folder() / _module("description").EVER_MADE).exists():
        return []
    return list(await _containers().down_all())


def _gone(names: Sequence[str], stays: Sequence[str] = ()) -> Answer:
    kept = [f"{PULUMI}:{name}" for name in stays]
    lines = [f"{name} stays up: `cutover stack down --stack {name}` runs `pulumi destroy`" for name in kept]
    return Answer(
        text="\n".join([f"down: {', '.join(names) or 'none was up'}", *lines]),
        details={"down": list(names), **({"kept": kept} if kept else {})},
    )


def outputs_of_pulumi(name: str) -> Path:
    """Write down how a stack of Pulumi's is reached, and return its outputs.json; BadInput if that fails.

    Without the `pulumi` command what was written down before has to do.
    """
    from cutover.errors import BadInput

    cli, folder = _module("pulumi_cli"), _module("pulumi_folder")
    before = outputs_here(name.rpartition("/")[2])
    if not cli.available() and kind_of(before) == PULUMI and before.exists():
        return before
    try:
        return Path(folder.publish_here(cli.read(name)))
    except _refusals() as error:
        raise BadInput(str(error)) from None


async def _attached(named: Named) -> Any:
    """Use a stack that is up; BadInput when the one of that name is of another kind."""
    from cutover.errors import BadInput

    found = outputs_here(named.name)
    if found.exists() and (kind := kind_of(found)) != named.kind:
        raise BadInput(
            f"the stack {named.name!r} that is up here is {kind}:{named.name}: say so with --stack"
        )
    runtime = _processes().EmbeddedStack if named.kind == EMBEDDED else _containers()
    return await runtime.attach(named.name)


def _guarded(work: Callable[[], Awaitable[Answer]], stack: str | None) -> Answer:
    """Run `work` on what --stack says; what the stacks raise is a refusal."""
    refusals = _refusals()

    async def run() -> Answer:
        try:
            return await work()
        except refusals as error:
            return Answer(outcome=Outcome.REFUSED, error=str(error), next_steps=_after(error, stack))

    return asyncio.run(run())


def _after(refusal: Exception, stack: str | None) -> tuple[str, ...]:
    """The commands that lead on: never the one that was refused just now, for the same reason again."""
    errors = _imported("infra.embedded.errors", "stacks need the checkout of the repository")
    words: tuple[str, ...] = ("status", "up")
    if isinstance(refusal, errors.StackInUse):
        words = ("status", "down")
    elif isinstance(refusal, errors.NoSuchStack):
        words = ("up",)
    given = f" --stack {shlex.quote(stack)}" if stack else ""
    return tuple(f"cutover stack {word}{given}" for word in words)


def _refusals() -> tuple[type[Exception], ...]:
    """What the stacks raise when they cannot do what they were asked for."""
    needs = "stacks need the checkout of the repository"
    return (
        _imported("infra.embedded.errors", needs).StackError,
        _imported("infra.images.errors", needs).ImageError,
        _imported("infra.disks.errors", needs).DiskError,
    )


def _must_be_free(named: Named) -> None:
    loans, state = _imported("infra.embedded.loan", _PROCESSES), _imported("infra.embedded.state", _PROCESSES)
    loans.must_be_free(state.StateFolder.open().stack(named.name))


def _lent_processes() -> ModuleType:
    return _imported("infra.embedded.lent", _PROCESSES)


def _processes() -> ModuleType:
    return _imported("infra.embedded.stack", _PROCESSES)


def _containers() -> ModuleType:
    needs = "stacks of containers need the checkout of the repository and its extras `docker` and `pulumi`"
    _imported("docker", needs)
    return _imported("infra.containers.bring_up", needs)


def _module(name: str) -> ModuleType:
    """A part of the containers' runtime that needs no engine."""
    return _imported(f"infra.containers.{name}", "stacks of Pulumi's need the checkout of the repository")


def _imported(module: str, needs: str) -> ModuleType:
    from cutover.errors import BadInput

    _let_in_checkout()
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise BadInput(
            f"{needs}; {error.name!r} is not there. Run this from the checkout, or name an outputs.json "
            f"with --stack."
        ) from None


def _let_in_checkout() -> None:
    """Put the checkout that this package runs from behind everything else that can be imported."""
    checkout = Path(__file__).parents[2]
    if (checkout / "infra" / "embedded").is_dir() and str(checkout) not in sys.path:
        sys.path.append(str(checkout))


def _sample_schema() -> Path | None:
    found = find_spec("sample_platform")
    folder = next(iter(found.submodule_search_locations or []), None) if found else None
    schema = Path(folder) / "schema.sql" if folder else None
    return schema if schema and schema.exists() else None
