"""Drilling on an embedded stack that stands: it was there before, and is there afterwards as it was."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psycopg

from cutover.model.outputs import Outputs
from infra.embedded import contract
from infra.embedded.description import Description
from infra.embedded.errors import ProcessFailed, StackError
from infra.embedded.loan import Loan, is_lent, must_keep_databases, must_not_be_own, unused_run
from infra.embedded.power import disk_of
from infra.embedded.services import Services
from infra.embedded.stack import EmbeddedStack
from infra.embedded.state import StateFolder

Progress = Callable[[str], None]


class LentStack(EmbeddedStack):
    """A stack that stands, for as long as a harness has it; `close` and `down` give it back."""

    _loan: Loan
    _progress: Progress

    @classmethod
    async def borrow(
        cls,
        name: str,
        *,
        schema: Path,
        services: Services | None = None,
        extras: Mapping[str, Mapping[str, object]] | None = None,
        preload: Iterable[str] = (),
        power_cut: bool = False,
        progress: Progress = lambda _: None,
    ) -> "LentStack":
        """Take a stack that is up for drills, and begin a fresh run on it.

        `schema` is the one that drills need its databases to be made with; the rest is as
        for EmbeddedStack.up. Raises NoSuchStack, StackInUse, ProcessFailed, and StackError
        where the stack cannot carry these drills.
        """
        must_keep_databases(extras)
        stack = await cls.attach(name)
        try:
            stack._must_carry(schema, power_cut=power_cut)
            stack._lend(Loan.take(stack.folder), progress)
        except BaseException:
            await EmbeddedStack.close(stack)
            raise
        try:
            await stack._control.ask("preload", modules=list(preload))
            await stack.fresh(services=services, extras=extras)
        except BaseException:
            await asyncio.shield(stack.close())
            raise
        progress(f"stack embedded:{name} is ours until the drills have ended")
        return stack

    @classmethod
    async def settle_loan(cls, name: str, progress: Progress = lambda _: None) -> bool:
        """Give back a stack that a killed harness left lent, and say whether it was lent.

        Raises NoSuchStack, StackInUse while a harness lives, and StackError when it cannot be given back.
        """
        if not is_lent(StateFolder.open().stack(name)):
            return False
        stack = await cls.attach(name)
        try:
            stack._lend(Loan.take(stack.folder), progress)
            try:
                await stack._give_back()
            finally:
                stack._loan.let_go()
            return True
        finally:
            await EmbeddedStack.close(stack)

    def _must_carry(self, schema: Path, *, power_cut: bool) -> None:
        told = self.description
        if told.schema is None or Path(told.schema).read_bytes() != schema.read_bytes():
            raise StackError(
                f"embedded:{self.name} makes its databases with {told.schema or 'no schema'}, and drills run "
                f"the sample platform: name a stack that was brought up without --schema"
            )
        if power_cut and not all(disk_of(self.folder, site) for site in self.sites):
            raise StackError(
                f"embedded:{self.name} has no disks whose power can be cut: bring it up with --power-cut, as "
                f"root, or leave power cuts out"
            )

    def _lend(self, loan: Loan, progress: Progress) -> None:
        """Leave the stack's own run out of all that follows, and end that of a harness that was killed.

        Of what such a harness ran, nothing but the run's number is taken over: it may have planted a bug.
        """
        self._loan, self._progress = loan, progress
        own, last = Description.read(loan.before), Description.load(self.folder).run
        self._stores.spared = frozenset({own.run})
        self.description = replace(own, run=unused_run() if last == own.run else last)
        self._given = (own.services, own.extras)
        self.description.save(self.folder)

    async def fresh(
        self,
        *,
        services: Services | None = None,
        extras: Mapping[str, Mapping[str, object]] | None = None,
    ) -> Outputs:
        """As EmbeddedStack.fresh; StackError for other settings of databases that hold what is not ours."""
        must_keep_databases(extras)
        return await super().fresh(services=services, extras=extras)

    async def _end_run(self) -> None:
        """As EmbeddedStack._end_run; the buckets of drills go as well, since this stack outlives them."""
        must_not_be_own(self.description.run, Description.read(self._loan.before).run)
        await super()._end_run()
        dropped = (asyncio.to_thread(self._stores.drop_run, self.description, place) for place in self.places)
        await asyncio.gather(*dropped)

    async def close(self) -> None:
        """Give the stack back: what we started ends, what we broke is mended, and it serves its own run."""
        lent = self.run
        try:
            await self._give_back()
        except StackError as error:
            self._progress(
                f"embedded:{self.name} still serves run {lent} of the drills: {error}. "
                f"`cutover stack up --stack embedded:{self.name}` gives it back."
            )
        finally:
            self._loan.let_go()
            await super().close()

    async def down(self) -> None:
        """As `close`: who brought the stack up takes it down."""
        await self.close()

    async def _give_back(self) -> None:
        """Serve again what was served before. Raises StackError."""
        try:
            await self._restore()
        except (psycopg.Error, OSError) as error:
            raise StackError(str(error) or type(error).__name__) from error

    async def _restore(self) -> None:
        await self._end_run()
        with suppress(ProcessFailed):  # a supervisor of before this request goes on telling of the dead
            await self._control.ask("forget")
        self.description = Description.read(self._loan.before)
        contract.publish(self.description, self.folder)
        for kind in self.description.services.of_a_site:
            await asyncio.gather(*(self.start(f"{site}/{kind}") for site in self.sites))
        self.description.save(self.folder)
        self._loan.settle()
