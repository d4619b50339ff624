"""What a stack has at a server that is not its own: listed before it is made, removed with the stack.

The list and the account lie in the stack's folder, so that whoever takes the
stack down, or reaps it after a SIGKILL, finds both. Only buckets on the list are
ever touched, and one that is there before we make it never gets on the list.
"""

import json
import os
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from typing import Any

from cutover.model.outputs import ObjectStore, S3Credentials
from cutover.model.secret import Secret
from infra.embedded.buckets import Answer, Door, location, remove_bucket
from infra.embedded.errors import NoS3Server, ProcessFailed
from infra.embedded.state import StackFolder, write_file, write_json
from infra.s3_engines import outside
from infra.s3_engines.outside import Outside

UNHEARD = (OSError, HTTPException)
"""What is raised where nobody answers, or where what answers is no web server."""


_WRITING = threading.Lock()
"""Held while a list is read and written again: threads serve the places, each with an object of its own."""


class Tenancy:
    """The buckets of one stack at a server outside of it."""

    def __init__(self, folder: StackFolder) -> None:
        self._list = folder.path / "buckets.json"
        self._account = folder.credentials / "s3-account.json"

    def remember(self, pair: S3Credentials) -> None:
        """Keep the account for as long as the stack is there, in a file that only we may read."""
        document = {"access_key": pair.access_key, "secret_key": pair.secret_key.reveal()}
        write_file(self._account, json.dumps(document))

    def account(self) -> S3Credentials:
        """Return the account that was kept. Raises FileNotFoundError."""
        told = json.loads(self._account.read_text())
        return S3Credentials(access_key=told["access_key"], secret_key=Secret(told["secret_key"]))

    @property
    def buckets(self) -> tuple[str, ...]:
        """Return the names of all that may be there."""
        return tuple(self._read().get("buckets", ()))

    def make(self, there: Outside, store: ObjectStore) -> None:
        """Make a bucket of ours where `store` is reached: over a front, or directly.

        One that we have made before is fine; one that is there without us is somebody else's.
        Raises NoS3Server with what the server said.
        """
        if store.bucket in self.buckets:
            return
        pair = self.account()
        with _unheard(f"nobody answers at {there.url}"):
            direct = Door(endpoint=there.url, region=there.region, pair=pair)
            seen = direct.ask("GET", f"/{store.bucket}", "list-type=2&max-keys=1")
        if seen.status == 200:
            raise NoS3Server(
                f"{there.url} has a bucket {store.bucket} that is none of ours: it was left alone"
            )
        if seen.code != "NoSuchBucket":
            raise NoS3Server(
                f"{there.url} answered {seen.told} when it was asked for a bucket: check {outside.ACCESS}, "
                f"{outside.SECRET} and {outside.REGION} ({there.region})"
            )
        self._add(there, store.bucket)
        with _unheard(_not_over(there, store)):
            made = _door(store, pair).ask("PUT", f"/{store.bucket}", body=location(store.region))
        if made.status != 200:
            self._drop(store.bucket)
            raise NoS3Server(
                f"{_answered(there, store, made)} to making bucket {store.bucket}{_why(there, store)}"
            )

    def prove(self, there: Outside, store: ObjectStore) -> None:
        """Raise NoS3Server unless a bucket of ours is found over the place's front."""
        with _unheard(_not_over(there, store)):
            seen = _door(store, self.account()).ask("GET", f"/{store.bucket}", "list-type=2&max-keys=1")
        if seen.status != 200:
            asked = f"when it was asked for bucket {store.bucket}"
            raise NoS3Server(f"{_answered(there, store, seen)} {asked}{_why(there, store)}")

    def renew(self, there: Outside, store: ObjectStore, start: str, spared: Collection[str] = ()) -> None:
        """Make a run's bucket, and remove others whose name starts so, but some: those of earlier runs.

        What cannot be removed now goes with the stack.
        """
        self.make(there, store)
        for bucket in self.buckets:
            if bucket.startswith(start) and bucket not in (store.bucket, *spared):
                self._remove(bucket, self._doors())

    def forget(self, bucket: str) -> None:
        """Take a bucket that was removed off the list, if it is on it."""
        if bucket in self.buckets:
            self._drop(bucket)

    def end(self) -> tuple[str, ...]:
        """Remove all; return, for a person, which buckets stayed and why."""
        doors = self._doors() if self.buckets else []
        said = [f"{bucket}: {why}" for bucket in self.buckets if (why := self._remove(bucket, doors))]
        if not said:
            return ()
        return (f"buckets stayed at {self._read()['url']}, remove them there: {'; '.join(said)}",)

    def _remove(self, bucket: str, doors: Sequence[Door]) -> str | None:
        """Remove one bucket; return why it stayed, by the last account that was tried."""
        why = f"no account is at hand: set {outside.ACCESS} and {outside.SECRET}"
        for door in doors:
            try:
                remove_bucket(door, bucket)
            except UNHEARD as error:  # another account would not be heard either
                return _said(error)
            except ProcessFailed as error:
                why = str(error)
            else:
                self._drop(bucket)
                return None
        return why

    def _doors(self) -> list[Door]:
        """Return the ways to the server: as the account that was kept, then as the environment's."""
        told, pairs = self._read(), []
        with suppress(FileNotFoundError):
            pairs.append(self.account())
        with suppress(NoS3Server):
            pairs.append(outside.account(os.environ))
        unlike = {(pair.access_key, pair.secret_key.reveal()): pair for pair in pairs}
        return [Door(endpoint=told["url"], region=told["region"], pair=pair) for pair in unlike.values()]

    def _add(self, there: Outside, bucket: str) -> None:
        with _WRITING:
            names = [*self.buckets, bucket]
            write_json(self._list, {"url": there.url, "region": there.region, "buckets": names})

    def _drop(self, bucket: str) -> None:
        with _WRITING:
            told = self._read()
            write_json(self._list, {**told, "buckets": [one for one in told["buckets"] if one != bucket]})

    def _read(self) -> dict[str, Any]:
        try:
            told: dict[str, Any] = json.loads(self._list.read_text())
        except FileNotFoundError:
            return {}
        return told


def _door(store: ObjectStore, pair: S3Credentials) -> Door:
    return Door(endpoint=store.endpoint, region=store.region, pair=pair)


def _not_over(there: Outside, store: ObjectStore) -> str:
    return f"{there.url} answers, but not over the front at {store.endpoint}: see its log"


def _answered(there: Outside, store: ObjectStore, answer: Answer) -> str:
    over = "" if store.endpoint == there.url else f", over the front of a place at {store.endpoint},"
    return f"{there.url} answered{over} {answer.told}"


def _why(there: Outside, store: ObjectStore) -> str:
    if store.endpoint == there.url:
        return ": may the account make buckets?"
    return (
        f", though it takes the account when it is asked by its own name. A client signs the name that it "
        f"asks, which is the front's: this server insists on its own, as hosted ones do, or the account may "
        f"not make buckets. Such a server is judged by its promises: "
        f"python -m resilience_tests.contract.s3.matrix {there.url}"
    )


@contextmanager
def _unheard(what: str) -> Iterator[None]:
    """Raise NoS3Server, saying so, where nobody answers."""
    try:
        yield
    except UNHEARD as error:
        raise NoS3Server(f"{what}: {_said(error)}") from None


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
