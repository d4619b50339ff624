"""What a live drill needs of a stack, whatever it is made of, and bringing one up by its name."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol

import sample_platform
from cutover.model.outputs import Outputs
from drill.live.services import extras_of, preloaded, services_of
from infra.embedded.errors import StackError
from infra.embedded.groups import Death
from infra.embedded.services import Services
from infra.embedded.stack import EmbeddedStack
from infra.embedded.state import StackFolder
from infra.s3_engines.resolve import OWN
from infra.topology import OPERATOR

EMBEDDED, DOCKER, PULUMI = "embedded", "docker", "pulumi"

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
            f"{named!r} is no stack to drill on: say embedded (processes of this machine), docker "
            f"(containers of the engine here) or pulumi:NAME (the stack that `pulumi up` made). A drill "
            f"kills sites, so an outputs.json is not enough (docs/explanation/decisions/0013)."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """On what drills run, as the command line names it."""

    stack: str = EMBEDDED
    s3_server: str = OWN  #: which object store each place runs

    def __post_init__(self) -> None:
        kind, _, name = self.stack.partition(":")
        if kind not in (EMBEDDED, DOCKER, PULUMI) or bool(name) != (kind == PULUMI):
            raise NoSuchKind(self.stack)
        if kind == PULUMI and self.s3_server != OWN:
            raise NoSuchKind(f"{self.stack} with --s3-server {self.s3_server}")

    @property
    def stays(self) -> bool:
        """Whether the stack was there before its drills, and is there after them."""
        return self.stack.startswith(PULUMI)

    def added_to(self, command: str) -> str:
        """Return the command that repeats a drill, on the same stack."""
        words, mark, comment = command.partition("   # ")
        if self.stack != EMBEDDED:
            words += f" --stack {self.stack}"
        if self.s3_server != OWN:
            words += f" --s3-server {self.s3_server}"
        return words + mark + comment


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
    services, extras = services_of(plant), extras_of(plant)
    if where.stack == EMBEDDED:
        return await EmbeddedStack.up(
            name,
            keep=keep,
            services=services,
            extras=extras,
            schema=Path(str(sample_platform.__file__)).parent / "schema.sql",
            preload=preloaded(),
            s3_server=where.s3_server,
            power_cut=power_cut,
            progress=tell,
        )
    planted = {"services": services, "extras": extras} if plant else {}
    if where.stays:
        return await _of_pulumi(tell, where, planted, power_cut=power_cut)
    made: Stack = await _containers().up(
        name,
        keep=keep,
        preload=preloaded(),
        power_cut=power_cut,
        s3_server=where.s3_server,
        progress=tell,
        **planted,
    )
    return made


async def _of_pulumi(tell: Tell, where: Where, planted: Mapping[str, object], *, power_cut: bool) -> Stack:
    if power_cut:
        raise StackError(
            f"{where.stack}: only a stack that the drills bring up has disks whose power they can cut"
        )
    name = where.stack.partition(":")[2]
    found: Stack = await _containers().of_pulumi(name, preload=preloaded(), progress=tell, **planted)
    return found


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
