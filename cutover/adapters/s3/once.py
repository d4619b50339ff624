"""Writes that exactly one of several writers can make.

After any answer but a clear yes the key is read back: one's own nonce in it
means that the write went in, whatever the answer said or did not say.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cutover.adapters.s3.again import Slow, Unclear, again, ask_again
from cutover.adapters.s3.answers import BROKEN, SLOW, Answer, refusal
from cutover.adapters.s3.wire import Request, Wire
from cutover.errors import Inconclusive, Refused, SiteUnreachable, Superseded

LOST = (404, 409, 412)
"""Statuses that say that the key is not as the condition wants it: read it, and see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One conditional write."""

    what: str  #: for messages
    key: str
    body: bytes
    seen: str | None  #: the tag that must still be there; None: the key must not exist
    is_ours: Callable[[bytes], bool]  #: whether a body that was read back is this write's

    @property
    def request(self) -> Request:
        """The write as it is sent."""
        condition = {"If-None-Match": "*"} if self.seen is None else {"If-Match": self.seen}
        headers = condition | {"Content-Type": "application/json"}
        return Request(method="PUT", key=self.key, headers=headers, body=self.body)


async def write_once(wire: Wire, write: Write) -> str:
    """Make the write and return its tag.

    Raises Superseded when the key holds somebody else's write, Inconclusive
    when ours may still go in, SiteUnreachable when it cannot.
    """
    attempts = _Attempts(wire, write)
    try:
        return await again(wire.limits, Unclear, Slow)(attempts.next)
    except Slow as last:
        raise SiteUnreachable(wire.place, str(last)) from None


async def look(wire: Wire, key: str, what: str) -> Answer | None:
    """Read a key; None when the server answers that it is not there.

    Raises SiteUnreachable when no whole answer came: a read changes nothing.
    """
    answer = await ask_again(wire, Request(method="GET", key=key))
    if answer.status == 200:
        return answer
    if answer.status == 404 and answer.code != "NoSuchBucket":
        return None
    raise refusal(wire.address, wire.address.bucket, answer, f"read {what}")


@dataclass(slots=True)
class _Attempts:
    """The attempts at one write, which remember that one of them went unanswered."""

    wire: Wire
    write: Write
    unclear: Unclear | None = None

    async def next(self) -> str:
        """Try once more and return the tag; raises Unclear or Slow when another attempt is worth it."""
        answer = await self._send()
        if answer is not None and answer.status == 200:
            return answer.tag
        tag = await self._read_back()
        if tag is not None:
            return tag
        if self.unclear is None and answer is not None and answer.status in SLOW:
            raise Slow(answer)
        raise self.unclear or Unclear(
            f"{self.write.what} was neither written nor found. Look before retrying."
        )

    async def _send(self) -> Answer | None:
        try:
            answer = await self.wire.ask(self.write.request)
        except SiteUnreachable as unreachable:
            raise self.unclear or unreachable from None
        except Inconclusive as lost:
            self.unclear = Unclear(str(lost))
            return None
        try:
            _check(self.wire, self.write, answer)
        except Refused as refused:  # this attempt changed nothing; an earlier one may have gone in
            raise self.unclear or refused from None
        if answer.status in BROKEN:
            self.unclear = self.unclear or Unclear(f"{self.write.what}: {self.wire.place!r}: {Slow(answer)}.")
        return answer

    async def _read_back(self) -> str | None:
        """The tag if the write went in, None if the key is as it was; raises Superseded if neither."""
        write = self.write
        try:
            found = await look(self.wire, write.key, write.what)
        except (SiteUnreachable, Refused) as unread:
            raise self.unclear or unread from None
        if found is not None and write.is_ours(found.body):
            return found.tag
        if (None if found is None else found.tag) == write.seen:
            return None
        raise Superseded(write.what)


def _check(wire: Wire, write: Write, answer: Answer) -> None:
    """Raise Refused for an answer that no reading back can turn into a yes."""
    if answer.status not in (200, *LOST, *SLOW) or answer.code == "NoSuchBucket":
        raise refusal(wire.address, wire.address.bucket, answer, f"write {write.what}")
