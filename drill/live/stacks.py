"""What a live drill needs of a stack, whatever it is made of, and bringing one up by its name."""

import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import sample_platform
from cutover.model.outputs import Outputs
from drill.live.services import extras_of, preloaded, services_of
from drill.live.standing import DOCKER, EMBEDDED, PULUMI, Standing, standing
from infra.embedded.errors import StackError
from infra.embedded.groups import Death
from infra.embedded.lent import LentStack
from infra.embedded.services import Services
from infra.embedded.stack import EmbeddedStack
from infra.embedded.state import StackFolder
from infra.s3_engines.resolve import OWN
from infra.topology import OPERATOR

SCHEMA = Path(str(sample_platform.__file__)).parent / "schema.sql"
"""What the databases of drills are made with."""

Tell = Callable[[str], None]


class Stack(Protocol):
    """Two sites and a witness that can be broken. Fulfilled by processes and by containers."""

    @property
    def folder(self) -> StackFolder:
        """Where it keeps what this machine needs to know of it."""

    def outputs(self, viewer: str = OPERATOR) -> Outputs: ...

    async def start(
        self, process: str, *, entry: str | None = None, settings: Mapping[str, object] | None = None
    ) -> None: ...
    async def wait_end(self, process: str) -> int: ...
    async def stop(self, process: str, *, seconds: float = 5.0) -> None: ...
    async def kill(self, process: str) -> Death: ...
    async def pause(self, process: str) -> None: ...
    async def resume(self, process: str) -> None: ...

    async def kill_site(self, site: str) -> Death: ...
    async def power_cut_site(self, site: str) -> Death: ...
    async def restart_site(self, site: str) -> None: ...
    async def pause_site(self, site: str) -> None: ...
    async def resume_site(self, site: str) -> None: ...
    async def fill_disk(self, site: str) -> None: ...
    async def free_disk(self, site: str) -> None: ...

    async def cut(
        self, link: str, mode: str = "cut", *, seconds: float = 0.0, services: Iterable[str] | None = None
    ) -> None: ...
    async def heal(self, link: str | None = None) -> None: ...

    async def fresh(
        self,
        *,
        services: Services | None = None,
        extras: Mapping[str, Mapping[str, object]] | None = None,
    ) -> Outputs: ...
    async def down(self) -> None: ...
    async def close(self) -> None: ...


class NoSuchKind(ValueError):
    """A stack was named that drills cannot run on."""

    def __init__(self, named: str) -> None:
        super().__init__(
            f"{named!r} is no stack to drill on: say embedded (processes of this machine) or docker "
            f"(containers of the engine here), which are brought up for the drills; or name one that stands: "
            f"embedded:NAME, docker:NAME, pulumi:NAME (what `pulumi up` made), or its outputs.json"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """On what drills run, as the command line names it. Raises NoSuchKind and NotStanding."""

    stack: str = EMBEDDED
    s3_server: str = OWN  #: which object store each place runs
    standing: Standing | None = field(init=False, default=None, compare=False, repr=False)
    """What was known here of a stack that stands; None where there is none, or only Pulumi knows it."""

    def __post_init__(self) -> None:
        kind, _, name = self.stack.partition(":")
        plain, named = (EMBEDDED, DOCKER), (EMBEDDED, DOCKER, PULUMI)
        if self.stack not in plain and not (kind in named and name) and not _is_path(self.stack):
            raise NoSuchKind(self.stack)
        if self.stays and not self.stack.startswith(f"{PULUMI}:"):
            object.__setattr__(self, "standing", standing(self.stack))  # once: the file may be a pipe
        if self.stays and self.s3_server != OWN:
            raise NoSuchKind(f"{self.stack} with --s3-server {self.s3_server}")

    @property
    def kind(self) -> str:
        """What the stack is made of: EMBEDDED, DOCKER or PULUMI."""
        return self.stack.partition(":")[0] if self.standing is None else self.standing.kind

    @property
    def stays(self) -> bool:
        """Whether the stack was there before its drills, and is there after them."""
        return self.stack not in (EMBEDDED, DOCKER)

    @property
    def stores(self) -> str:
        """Which object store each place runs, also where the stack was not brought up for the drills."""
        return self.s3_server if self.standing is None else self.standing.s3_server

    def added_to(self, command: str) -> str:
        """Return the command that repeats a drill, on the same stack."""
        words, mark, comment = command.partition("   # ")
        if self.stack != EMBEDDED:
            words += f" --stack {shlex.quote(self.stack)}"
        if self.s3_server != OWN:
            words += f" --s3-server {self.s3_server}"
        return words + mark + comment


def _is_path(named: str) -> bool:
    return named.endswith(".json") or os.sep in named or Path(named).is_file()


async def bring_up(
    tell: Tell,
    where: Where,
    *,
    keep: bool = False,
    name: str | None = None,
    plant: str | None = None,
    power_cut: bool = False,
) -> Stack:
    """Return a stack with the sample platform on it. Raises StackError."""
    planted = {"services": services_of(plant), "extras": extras_of(plant)}
    if where.stays:
        return await _borrowed(tell, where, planted if plant else {}, power_cut=power_cut)
    if where.stack == EMBEDDED:
        return await EmbeddedStack.up(
            name,
            keep=keep,
            services=services_of(plant),
            extras=extras_of(plant),
            schema=SCHEMA,
            preload=preloaded(),
            s3_server=where.s3_server,
            power_cut=power_cut,
            progress=tell,
        )
    made: Stack = await _containers().up(
        name,
        keep=keep,
        preload=preloaded(),
        power_cut=power_cut,
        s3_server=where.s3_server,
        progress=tell,
        **(planted if plant else {}),
    )
    return made


async def _borrowed(tell: Tell, where: Where, planted: Mapping[str, Any], *, power_cut: bool) -> Stack:
    """Take a stack that stands; closing it gives it back."""
    found, given = where.standing, {"preload": preloaded(), "progress": tell, **planted}
    taken: Stack
    if found is not None and found.kind == EMBEDDED:
        taken = await LentStack.borrow(found.name, schema=SCHEMA, power_cut=power_cut, **given)
    elif found is not None and found.kind == DOCKER:
        taken = await _containers().StandingStack.borrow(found.name, power_cut=power_cut, **given)
    elif power_cut:
        raise StackError(
            f"{where.stack}: only a stack that the drills or `cutover stack up --power-cut` brought up has "
            f"disks whose power they can cut"
        )
    elif found is not None:
        taken = await _containers().of_published(found.published, **given)
    else:
        taken = await _containers().of_pulumi(where.stack.partition(":")[2], **given)
    return taken


def can_cut(*, holding: bool) -> None:
    """Raise StackError where links of containers cannot be cut, or (`holding`) packets not be held back."""
    from infra.containers import holders, netfilter

    netfilter.check_available()
    if holding:
        holders.check_available()


def _containers() -> ModuleType:
    try:
        from infra.containers import bring_up as runtime
    except ModuleNotFoundError as error:
        raise StackError(
            f"drills on containers need the extras `docker` and `pulumi`: {error.name!r} is not installed"
        ) from None
    return runtime
