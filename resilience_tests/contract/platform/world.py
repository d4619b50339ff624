"""What a contract test stands on, and how it plays the engine."""

from dataclasses import dataclass
from random import Random
from typing import Protocol

from resilience_tests.contract.platform.servers import CLOSED_FENCE, ENGINE, Server
from sample_platform.database import Address
from sample_platform.memory import MemoryObjects, MemoryOffice, MemoryRecords
from sample_platform.model import NewPost, Registration, object_key, post_id, session_token
from sample_platform.objects_s3 import S3Objects
from sample_platform.platform import Platform
from sample_platform.ports import Objects, Records, ServingCheck
from sample_platform.postgres import PostgresRecords, PostgresServingCheck

DIGEST = "0" * 63 + "1"


class World(Protocol):
    """The three ports, and the engine's side of the database."""

    @property
    def records(self) -> Records: ...
    @property
    def objects(self) -> Objects: ...
    @property
    def serving(self) -> ServingCheck: ...

    def install_engine(self) -> None:
        """Put the engine's functions in, serving under epoch 1."""

    def grant(self, epoch: int | None) -> None:
        """Let the site serve under an epoch, or not at all."""

    def close_fence(self) -> None:
        """Refuse every write with SQLSTATE 25006."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryWorld:
    """In dictionaries."""

    records: MemoryRecords
    objects: MemoryObjects
    serving: MemoryOffice

    def install_engine(self) -> None:
        self.serving.installed, self.serving.serving = True, 1

    def grant(self, epoch: int | None) -> None:
        self.serving.serving = epoch

    def close_fence(self) -> None:
        self.serving.writable = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RealWorld:
    """On PostgreSQL and an S3 server."""

    records: PostgresRecords
    objects: S3Objects
    serving: PostgresServingCheck
    server: Server
    address: Address

    def install_engine(self) -> None:
        self.server.execute(ENGINE, self.address.database)

    def grant(self, epoch: int | None) -> None:
        value = "null" if epoch is None else str(epoch)
        self.server.execute(f"update cutover.office set epoch = {value}", self.address.database)

    def close_fence(self) -> None:
        self.server.execute(CLOSED_FENCE, self.address.database)


def platform_of(world: World, *, serving: ServingCheck | None = None) -> Platform:
    """The platform's logic on these parts."""
    return Platform(
        site="east",
        records=world.records,
        objects=world.objects,
        serving=serving or world.serving,
        random=Random(1),
    )


async def log_in(records: Records, *users: str) -> None:
    """Make users."""
    for user in users:
        request = f"login-{user}"
        await records.open_session(user=user, token=session_token(request), request=request)


async def register(records: Records, request: str, *, author: str = "ada", tags: tuple[str, ...] = ()) -> str:
    """Make a post without bytes; returns its id."""
    new = NewPost(author=author, title=f"title of {request}", caption="c", tags=tags, audio="a")
    made = Registration(new=new, sha256=DIGEST, size=7)
    written = await records.register_upload(post=post_id(request), made=made, request=request)
    assert made.key == object_key(DIGEST)
    return written.item
