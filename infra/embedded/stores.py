"""The object stores of a stack: how each is started, given its buckets, and asked for faults."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.contract import region_of
from infra.embedded import contract
from infra.embedded.buckets import drop, make_bucket
from infra.embedded.control import Control
from infra.embedded.description import Description
from infra.embedded.errors import StackError
from infra.embedded.ports import HOST
from infra.embedded.services import s3_settings
from infra.embedded.state import StackFolder
from infra.embedded.waiting import ready_or_ended, until_it_listens
from infra.s3_engines import versitygw
from infra.s3_engines.outside import FRONT, Outside
from infra.s3_engines.resolve import OWN
from infra.s3_engines.tenancy import Tenancy
from infra.topology import WITNESS, Service, two_sites

LISTEN_SECONDS_MAX = 15.0
"""Longest wait until a server of another make listens (seconds); versitygw takes 0.05."""


class Stores:
    """Our own servers are forked and have a control socket; versitygw is a program of its own.

    Of a server that stands outside each place has a front, which is forked too.
    """

    def __init__(self, folder: StackFolder, control: Control) -> None:
        self._folder = folder
        self._control = control
        self._tenancy = Tenancy(folder)
        self.spared: frozenset[int] = frozenset()  #: runs whose buckets stay, besides the present one's

    def data(self, place: str) -> Path:
        """Return the folder that holds all bytes of a place's store."""
        return self._folder.path / "s3" / place

    async def start(self, description: Description, place: str) -> None:
        """Start the store of a place, and return when it can be reached. Raises ProcessFailed."""
        if description.s3_outside is not None:
            await self._start_front(description, description.s3_outside, place)
        elif description.s3_server == OWN:
            await self._start_own(description, place)
        else:
            await self._start_versitygw(description, place)

    async def _start_own(self, description: Description, place: str) -> None:
        settings = s3_settings(
            description.addresses, place, self.data(place), self._socket(place), self._keys_file(place)
        )
        await self._fork(description, place, description.entry(f"{place}/s3"), settings)

    async def _start_front(self, description: Description, there: Outside, place: str) -> None:
        settings = {
            **description.addresses.listen(place, Service.S3),
            "to": list(there.address),
            "tls": there.tls,
        }
        await self._fork(description, place, FRONT, settings)

    async def _fork(
        self, description: Description, place: str, entry: str, settings: Mapping[str, object]
    ) -> None:
        process = f"{place}/s3"
        await self._control.ask(
            "spawn",
            name=process,
            group=place,
            entry=entry,
            settings={**settings, **description.extra(process)},
            log=str(self._folder.log(process)),
            fast=True,
        )

    async def _start_versitygw(self, description: Description, place: str) -> None:
        process, port = f"{place}/s3", description.ports[f"{place}/{Service.S3}"]
        accounts = self._folder.credentials / f"versitygw-{place}"
        versitygw.prepare(self.data(place), accounts, json.loads(self._keys_file(place).read_text()))
        start = versitygw.launch(
            description.s3_program or "",
            host=HOST,
            port=port,
            region=region_of(description.addresses.topology, place),
            data=str(self.data(place)),
            accounts=str(accounts),
        )
        log = self._folder.log(process)
        await self._control.ask(
            "spawn", name=process, group=place, argv=start.argv, env=start.env, log=str(log)
        )
        await ready_or_ended(
            until_it_listens(HOST, port, LISTEN_SECONDS_MAX),
            self._end_of(process),
            lambda status: (
                f"{process} ended with status {status}; its log ends: "
                f"{log.read_text(errors='replace')[-1000:]}"
            ),
        )

    async def _end_of(self, process: str) -> int:
        return int((await self._control.ask("watch", name=process))["status"])

    def make_bucket(self, description: Description, place: str) -> None:
        """Make this run's bucket, with no link between us and the store.

        At a server outside the place's bucket of the run before goes, too: nobody else removes it there.
        """
        viewer = two_sites().sites[0].name if place == WITNESS else place
        store = contract.own_bucket(description, self._folder, place)
        if there := description.s3_outside:
            spared = [there.bucket(description.name, place, run) for run in self.spared]
            self._tenancy.renew(there, store, there.bucket(description.name, place, None), spared)
        else:
            make_bucket(store, contract.credentials_of(self._folder, viewer, place).s3)

    def drop_run(self, description: Description, place: str) -> None:
        """Remove the bucket of a run; at the witness, which all runs share, what the run has there.

        Raises ProcessFailed.
        """
        viewer = two_sites().sites[0].name if place == WITNESS else place
        store = contract.own_bucket(description, self._folder, place)
        pair = contract.credentials_of(self._folder, viewer, place).s3
        drop(store, pair, description.present_run.prefix if place == WITNESS else None)
        if place != WITNESS:
            self._tenancy.forget(store.bucket)

    async def fault(self, description: Description, place: str, do: str, **limits: object) -> dict[str, Any]:
        """Ask the store of a place for a fault; return its answer. Raises StackError when it refuses."""
        if description.s3_server != OWN:
            raise StackError(
                f"the store at {place} is {description.s3_server}, which has no faults to ask for ({do!r}): "
                f"kill, pause or cut it off instead, or drill on our own server (--s3-server own)"
            )
        answer = await self._tell(place, {"do": do, **limits})
        if not answer.get("ok", False):
            raise StackError(f"the store at {place} refused the fault {do!r}: {answer.get('error')}")
        return answer

    async def _tell(self, place: str, command: Mapping[str, object]) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(str(self._socket(place)))
        try:
            writer.write(json.dumps(command).encode() + b"\n")
            answer: dict[str, Any] = json.loads(await reader.readline())
        finally:
            writer.close()
        return answer

    def _socket(self, place: str) -> Path:
        return self._folder.socket(f"s3-{place}")

    def _keys_file(self, place: str) -> Path:
        return self._folder.credentials / f"s3-server-{place}.json"
