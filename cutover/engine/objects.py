"""One object from one site to the other: bytes first, and never by name alone."""

from cutover.errors import Inconclusive, Missing, ObjectRefused
from cutover.model.change import ObjectName
from cutover.model.objects import Copied
from cutover.ports.objects import Body, ObjectStore


def digest_of(name: ObjectName) -> str | None:
    """The sha256 that the row names, as we write one: hex may stand there in capitals, or as a bytea."""
    return None if name.sha256 is None else name.sha256.removeprefix("\\x").lower()


async def copy_object(source: ObjectStore, target: ObjectStore, name: ObjectName) -> Copied | str:
    """Bring an object to the target; return its digest, or why it cannot be had.

    A reason (a sentence) means that the row which owns the object must be set
    aside. An unreachable site is no reason: it raises, and is tried again.
    """
    try:
        async with source.fetch(name.key, bucket=name.bucket) as body:
            if digest_of(name) not in (None, body.sha256):
                says = f"its row says {name.sha256}"
                return f"the bytes of {name.key!r} at {source.site} are {body.sha256}, {says}"
            return await _store(target, name, body)
    except ObjectRefused as error:
        return f"{error}"
    except Missing:
        return f"object {name.key!r} is not in the store of {source.site}"


async def _store(target: ObjectStore, name: ObjectName, body: Body) -> Copied | str:
    """An existing key, or an answer that did not come, is settled by reading the bytes (S2)."""
    try:
        if await target.put_if_absent(name.key, body, bucket=name.bucket):
            return Copied(sha256=body.sha256, size=body.info.size, already=False)
    except Inconclusive:
        pass
    found = await target.sha256(name.key, bucket=name.bucket)
    if found is None:
        raise Inconclusive(f"object {name.key!r} was sent to {target.site} and is not there")
    if found[0] != body.sha256:
        return (
            f"{name.key!r} at {target.site} holds other bytes ({found[0]}) than at the source ({body.sha256})"
        )
    return Copied(sha256=body.sha256, size=body.info.size, already=True)
