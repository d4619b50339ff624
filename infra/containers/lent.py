"""Drilling on a stack of containers that stands: it was there before, and is there afterwards as it was.

Drills have runs of their own beside the one that the stack serves, whose database and
buckets they leave alone. What they share with it are the servers and the services,
which serve the first run again when the drills are over.
"""

import asyncio
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

import docker.errors

from cutover.model.outputs import Outputs
from cutover.model.secret import Secret
from infra.blueprint.keys import Keys
from infra.components.exports import keys_of
from infra.containers import leftovers
from infra.containers.claims import Claim, of_stack, this_process
from infra.containers.description import ContainerDescription
from infra.containers.pulumi_folder import key_file
from infra.containers.stack import SERVICES, ContainerStack
from infra.embedded.buckets import drop
from infra.embedded.control import Control
from infra.embedded.errors import NoSuchStack, ProcessFailed, StackError
from infra.embedded.loan import Loan, is_lent, must_keep_databases, must_not_be_own, unused_run
from infra.embedded.power import disk_of
from infra.embedded.services import Services
from infra.embedded.state import StackFolder, StateFolder
from infra.s3_engines.tenancy import Tenancy
from infra.topology import OPERATOR, WITNESS, two_sites

RULE_SECONDS = 48 * 3600.0
"""A rule of ours is a leftover after this time, whoever holds it (seconds): longer than any suite takes."""

Progress = Callable[[str], None]
Told = Mapping[str, Mapping[str, object]]


class LentStack(ContainerStack):
    """A stack that stands, for as long as a harness has it; `close` and `down` give it back."""

    def __init__(
        self,
        folder: StackFolder,
        description: ContainerDescription,
        keys: Keys,
        control: Control,
        before: ContainerDescription,
        progress: Progress,
    ) -> None:
        claim = Claim(stack=folder.name, owner=this_process(), expires=time.time() + RULE_SECONDS)
        super().__init__(folder, description, keys, control, claim)
        self.spared = frozenset({before.run})
        self._before = before
        self._progress = progress

    @property
    def named(self) -> str:
        """Return the stack as `--stack` names it."""
        return f"docker:{self.name}"

    async def fresh(self, *, services: Services | None = None, extras: Told | None = None) -> Outputs:
        """As ContainerStack.fresh; StackError for other settings of databases that hold what is not ours."""
        must_keep_databases(extras)
        return await super().fresh(services=services, extras=extras)

    async def _end_run(self) -> None:
        """As ContainerStack._end_run; the buckets of drills go as well, since this stack outlives them."""
        must_not_be_own(self.description.run, self._before.run)
        await super()._end_run()
        await asyncio.gather(*(asyncio.to_thread(self._drop_bucket, place) for place in self.places))

    def _drop_bucket(self, place: str) -> None:
        prefix = self.description.present_run.prefix if place == WITNESS else None
        store = self._bucket(place)
        drop(store, self._keys.pair(OPERATOR, place), prefix)
        if prefix is None:
            Tenancy(self.folder).forget(store.bucket)

    async def close(self) -> None:
        """Give the stack back: what we started ends, what we broke is mended, and it serves its own run."""
        lent = self.run
        try:
            await self.give_back()
        except (StackError, docker.errors.DockerException, OSError) as error:
            self._progress(
                f"{self.named} still serves run {lent} of the drills: {error}. "
                f"`cutover stack up --stack {self.named}` gives it back."
            )
        finally:
            await super().close()
            await asyncio.to_thread(self.let_go)

    async def down(self) -> None:
        """As `close`: who brought the stack up takes it down."""
        await self.close()

    async def give_back(self) -> None:
        """End the run of the drills, and serve again what was served before. Raises StackError."""
        await self._end_run()
        with suppress(ProcessFailed):  # a supervisor of before this request goes on telling of the dead
            await self.control.ask("forget")
        self.description = self._before
        await asyncio.gather(*(self._give(process) for process in self._processes))
        services = [process for site in self.sites for process in self._at(site, SERVICES)]
        await asyncio.gather(*(self.start(process) for process in services))
        self.description.save(self.folder)
        self.publish()

    @abstractmethod
    def let_go(self) -> None:
        """Leave the stack to others, once nothing more is done to it."""


class StandingStack(LentStack):
    """A stack that `cutover stack up` made, for as long as a harness has it."""

    def __init__(self, loan: Loan, control: Control, progress: Progress) -> None:
        before, told = ContainerDescription.read(loan.before), ContainerDescription.load(loan.folder)
        last = replace(before, run=unused_run() if told.run == before.run else told.run)
        keys = keys_of(before.settings, Secret(key_file(loan.folder).read_text()))
        super().__init__(loan.folder, last, keys, control, before, progress)
        self._loan = loan

    @classmethod
    async def borrow(
        cls,
        name: str,
        *,
        services: Services | None = None,
        extras: Told | None = None,
        preload: Iterable[str] = (),
        power_cut: bool = False,
        progress: Progress = lambda _: None,
    ) -> "StandingStack":
        """Take a stack that is up for drills, and begin a fresh run on it; see infra.embedded.lent.

        Raises NoSuchStack, StackInUse, EngineUnreachable, ProcessFailed, and StackError where
        the stack has no disks for a power cut.
        """
        must_keep_databases(extras)
        folder = StateFolder.open().stack(name)
        if power_cut and not all(disk_of(folder, site.name) for site in two_sites().sites):
            raise StackError(
                f"docker:{name} has no disks whose power can be cut: bring it up with --power-cut, as root, "
                f"or leave power cuts out"
            )
        stack = await cls._taken(name, progress)
        try:
            stack.description.save(stack.folder)
            await stack.control.ask("preload", modules=list(preload))
            await stack.fresh(services=services, extras=extras)
        except BaseException:
            await asyncio.shield(stack.close())
            raise
        progress(f"stack docker:{name} is ours until the drills have ended")
        return stack

    @classmethod
    async def settle_loan(cls, name: str, progress: Progress = lambda _: None) -> bool:
        """Give back a stack that a killed harness left lent, and say whether it was lent.

        Raises NoSuchStack, StackInUse while a harness lives, and StackError when it cannot be given back.
        """
        if not is_lent(StateFolder.open().stack(name)):
            return False
        stack = await cls._taken(name, progress)
        try:
            await stack.give_back()
        except (docker.errors.DockerException, OSError) as error:
            raise StackError(f"{stack.named} could not be given back: {error}") from error
        finally:
            await ContainerStack.close(stack)
            stack.let_go()
        return True

    @classmethod
    async def _taken(cls, name: str, progress: Progress) -> "StandingStack":
        folder = StateFolder.open().stack(name)
        control = await reached(folder)
        try:
            loan = Loan.take(folder)
        except BaseException:
            await control.close()
            raise
        try:
            await asyncio.to_thread(leftovers.remove, None, of_stack(name))  # rules of a killed harness
            return cls(loan, control, progress)
        except BaseException:
            loan.let_go()
            await control.close()
            raise

    async def give_back(self) -> None:
        """As LentStack.give_back; then nobody has it any more."""
        await super().give_back()
        self._loan.settle()

    def let_go(self) -> None:
        """Leave the stack to others; it stays lent, to nobody, if it was not given back."""
        self._loan.let_go()


async def reached(folder: StackFolder) -> Control:
    """Return a connection to the supervisor of a stack that is up. Raises NoSuchStack."""
    try:
        return await Control.to(folder.socket("control"))
    except OSError:
        raise NoSuchStack(f"no stack of containers {folder.name!r} is up") from None
