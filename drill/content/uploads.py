"""Brings every file into the platform, as its users do, and keeps what was acknowledged."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from drill.checkers.evidence import ContentFile
from drill.content.reading import Content, File
from drill.history import Event, HistoryWriter, Outcome
from drill.verdict import Witness
from drill.workload.clients import Workload
from sample_platform.body import FileBody, file_body
from sample_platform.errors import NotServing, Refused, Unavailable, Unknown
from sample_platform.model import Answer, post_id
from sample_platform.ports import PlatformApi

PROCESS = "content-"
"""How the history calls who uploads: this and the number of the lane."""

LANES = 4
"""Uploads at a time."""

PATIENCE_SECONDS = 60.0
"""How long one upload is tried (seconds), beside what its bytes may take."""

SLOWEST_BYTES_PER_SECOND = 500_000
"""A file may take this long on top, over all attempts: half the rate that one attempt is given."""

PAUSE_SECONDS = 0.25
"""Before an upload is sent again."""

TOLD_SECONDS = 1.0
"""Between two lines of progress."""

Tell = Callable[[str], None]
Attempt = Callable[[], Awaitable[Answer[str]]]


@dataclass(frozen=True, slots=True)
class Unsettled:
    """How an operation ended that was not acknowledged."""

    why: str
    outcome: Outcome
    attempts: int


@dataclass(slots=True, kw_only=True)
class Uploads:
    """All files of one drill, each once."""

    content: Content
    random: Random
    tell: Tell
    manifest: dict[str, ContentFile]  #: by post id: what was acknowledged, with the digest of the disk
    problems: list[Witness] = field(default_factory=list)
    _requests: int = 0
    _sent: int = 0  #: bytes that left, retries included
    _next_tell: float = 0.0

    async def run(self, workload: Workload) -> None:
        """Log every author in, then upload; what did not succeed stands in `problems`."""
        self._next_tell = asyncio.get_running_loop().time() + TOLD_SECONDS
        api, history = workload.apis[workload.first_site], workload.history
        for author in sorted({file.post.author for file in self.content.files}):
            await self._log_in(api, history, author)
        files = iter(self.content.files)
        lanes = (self._lane(f"{PROCESS}{n}", files, api, history) for n in range(LANES))
        await asyncio.gather(*lanes)
        self._tell(last=True)

    async def _log_in(self, api: PlatformApi, history: HistoryWriter, author: str) -> None:
        process = f"{PROCESS}0"
        request = self._request(process)
        invoke = history.invoke(process, "log_in", key=author, value=None, request=request)
        ended = await _settled(lambda: api.log_in(user=author, request=request), PATIENCE_SECONDS)
        _record(history, invoke, ended, "token")
        if isinstance(ended, Unsettled):
            self.problems.append(Witness(what=f"author {author!r} could not log in: {ended.why}"))

    async def _lane(
        self, process: str, files: Iterator[File], api: PlatformApi, history: HistoryWriter
    ) -> None:
        for file in files:
            try:
                body = await file_body(self.content.where(file))
            except OSError as error:
                self._not_uploaded(file, f"it cannot be read any more: {error.strerror}")
                continue
            await self._upload(process, file, body, api, history)

    async def _upload(
        self, process: str, file: File, body: FileBody, api: PlatformApi, history: HistoryWriter
    ) -> None:
        request = self._request(process)
        value = _asked(file, body)
        invoke = history.invoke(process, "upload", key=post_id(request), value=value, request=request)
        watched = _Watched(body, self._passed)
        ended = await _settled(
            lambda: api.upload(file.post, watched, request=request),
            PATIENCE_SECONDS + body.size / SLOWEST_BYTES_PER_SECOND,
            hopeless=lambda: watched.cut_short,
        )
        _record(history, invoke, ended, "post")
        if isinstance(ended, Unsettled):
            why = "it changed while it was read" if watched.cut_short else ended.why
            self._not_uploaded(file, why)
        else:
            self.manifest[ended[0].value] = _manifested(file, body)
            self._tell()

    def _not_uploaded(self, file: File, why: str) -> None:
        self.problems.append(Witness(what=f"file {file.path!r} was not uploaded: {why}"))

    def _request(self, process: str) -> str:
        self._requests += 1
        return f"{process}-{self._requests}-{self.random.getrandbits(48):012x}"

    def _passed(self, size: int) -> None:
        self._sent += size
        self._tell()

    def _tell(self, *, last: bool = False) -> None:
        now = asyncio.get_running_loop().time()
        done = len(self.manifest) == len(self.content.files)
        if not last and (done or now < self._next_tell):
            return
        self._next_tell = now + TOLD_SECONDS
        whole = self.content.size / 1e6
        sent = min(self._sent / 1e6, whole)
        self.tell(
            f"uploaded {len(self.manifest)}/{len(self.content.files)} files, {sent:.1f} of {whole:.1f} MB"
        )


@dataclass(slots=True)
class _Watched:
    """A file's bytes, counted as they leave; says when there are fewer than there were."""

    body: FileBody
    passed: Callable[[int], None]
    cut_short: bool = False

    @property
    def sha256(self) -> str:
        """As it was read before."""
        return self.body.sha256

    @property
    def size(self) -> int:
        """Bytes, as it was read before."""
        return self.body.size

    @property
    def path(self) -> Path | None:
        """Where it is."""
        return self.body.path

    async def chunks(self) -> AsyncIterator[bytes]:
        """Read it; OSError when it ends early."""
        left = self.body.size
        async for chunk in self.body.chunks():
            left -= len(chunk)
            self.passed(len(chunk))
            yield chunk
        if left > 0:
            self.cut_short = True
            raise OSError(f"{self.body.path} ended {left} bytes early")


async def _settled(
    attempt: Attempt, patience_s: float, *, hopeless: Callable[[], bool] = lambda: False
) -> tuple[Answer[str], int] | Unsettled:
    """Send until it is acknowledged, refused for good, or patience ends; a retry keeps the request id."""
    clock = asyncio.get_running_loop().time
    ends, attempts, unknown = clock() + patience_s, 0, False
    while True:
        attempts += 1
        try:
            return await attempt(), attempts
        except Unknown as error:
            unknown, why, final = True, str(error), hopeless()
        except (NotServing, Unavailable) as error:
            why, final = str(error), False
        except Refused as error:
            why, final = str(error), True
        if final or clock() >= ends:
            return Unsettled(why, Outcome.UNKNOWN if unknown else Outcome.FAILED, attempts)
        await asyncio.sleep(PAUSE_SECONDS)


def _record(
    history: HistoryWriter, invoke: Event, ended: tuple[Answer[str], int] | Unsettled, name: str
) -> None:
    if isinstance(ended, Unsettled):
        value: dict[str, object] = {"reason": ended.why, "attempts": ended.attempts}
        history.complete(invoke, ended.outcome, value=value)
        return
    answer, attempts = ended
    value = {name: answer.value, "attempts": attempts}
    history.complete(invoke, Outcome.OK, value=value, site=answer.site, epoch=answer.epoch)


def _asked(file: File, body: FileBody) -> dict[str, object]:
    said = file.post
    return {
        "user": said.author,
        "title": said.title,
        "caption": said.caption,
        "tags": list(said.tags),
        "audio": said.audio,
        "sha256": body.sha256,
        "size": body.size,
    }


def _manifested(file: File, body: FileBody) -> ContentFile:
    said = file.post
    return ContentFile(
        path=file.path,
        sha256=body.sha256,
        size=body.size,
        title=said.title,
        caption=said.caption,
        tags=said.tags,
        audio=said.audio,
        author=said.author,
    )
