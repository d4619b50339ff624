"""The user's own files on their way up, over a platform in memory, and the disk when all is over."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from random import Random

import pytest

from drill.checkers.evidence import ContentFile
from drill.content import Content, read_content, uploads
from drill.content.disk import files as compared
from drill.content.uploads import Uploads
from drill.history import History, HistoryWriter, Outcome, history_of, read_history
from drill.verdict import Verdict, Witness
from drill.workload.clients import Amount, Workload
from resilience_tests.spec.test_content import LATIN, put, say
from sample_platform.body import FileBody, file_body
from sample_platform.errors import BadInput, Unknown
from sample_platform.memory import MemoryObjects, MemoryRecords
from sample_platform.model import Answer, NewPost
from sample_platform.platform import Platform
from sample_platform.ports import Body


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "content").mkdir()
    return tmp_path / "content"


@dataclass
class Site:
    """A platform in memory that may lose answers, or turn an upload down."""

    platform: Platform
    lose: int = 0  #: answers still to be lost, after their effect
    refuse: str = ""  #: title of the upload to turn down
    uploads: Counter[str] = field(default_factory=Counter)  #: attempts, by title

    async def log_in(self, *, user: str, request: str) -> Answer[str]:
        return await self.platform.log_in(user=user, request=request)

    async def upload(self, new: NewPost, body: Body, *, request: str) -> Answer[str]:
        self.uploads[new.title] += 1
        if new.title == self.refuse and not self.lose:
            raise BadInput("not this one")
        try:
            answer = await self.platform.upload(new, body, request=request)
        except OSError as error:
            raise Unknown(f"sent, and not answered: {error}") from error
        if self.lose:
            self.lose -= 1
            raise Unknown("the answer was lost")
        return answer


@dataclass
class Uploaded:
    """One run of Uploads over a platform in memory."""

    records: MemoryRecords
    site: Site
    manifest: dict[str, ContentFile]
    problems: list[Witness]
    told: list[str]
    history: History


async def upload(content: Content, tmp_path: Path, **behaviour: object) -> Uploaded:
    records = MemoryRecords()
    platform = Platform(
        site="east", records=records, objects=MemoryObjects(), serving=records.office, random=Random(1)
    )
    site = Site(platform, **behaviour)  # type: ignore[arg-type]
    sink, told = BytesIO(), list[str]()
    clock = iter(range(10**6))
    running = Uploads(content=content, random=Random(1), tell=told.append, manifest={})
    workload = Workload(
        apis={"east": site},  # type: ignore[dict-item]  # no more of it is needed
        route=lambda: unreachable(),
        history=HistoryWriter(sink, lambda: float(next(clock))),
        random=Random(1),
        amount=Amount(),
        first_site="east",
    )
    await running.run(workload)
    written = tmp_path / "history.jsonl"
    written.write_bytes(sink.getvalue())
    history = history_of(read_history(written))
    return Uploaded(records, site, running.manifest, running.problems, told, history)


async def unreachable() -> str | None:
    raise AssertionError("uploads go to the source, before anything moves")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PAUSE_SECONDS", 0.0)


async def rows(records: MemoryRecords) -> Mapping[str, object]:
    ids = (await records.newest(limit=1000, after=None)).value
    return {post: (await records.post(post)).value for post in ids}


async def test_every_file_is_uploaded_once_and_recorded_as_a_client_would(
    folder: Path, tmp_path: Path
) -> None:
    put(folder, **{LATIN: b"1", "empty": b"", "same1": b"xx", "same2": b"xx"})
    say(folder, {"file": "empty", "title": "nothing", "tags": ["t"], "audio": "rain", "author": "Zoë"})
    done = await upload(read_content(folder), tmp_path)
    assert done.problems == []
    assert {(file.path, file.sha256, file.size) for file in done.manifest.values()} == {
        (path, sha256(data).hexdigest(), len(data))
        for path, data in ((LATIN, b"1"), ("empty", b""), ("same1", b"xx"), ("same2", b"xx"))
    }
    assert (await rows(done.records)).keys() == done.manifest.keys()
    assert {operation.key for operation in done.history.of("upload") if operation.ok} == set(done.manifest)
    assert {operation.key for operation in done.history.of("log_in") if operation.ok} == {"user-0", "Zoë"}
    (empty,) = (one for one in done.history.of("upload") if one.asked["title"] == "nothing")
    assert empty.asked == {
        "user": "Zoë",
        "title": "nothing",
        "caption": "",
        "tags": ["t"],
        "audio": "rain",
        "sha256": sha256().hexdigest(),
        "size": 0,
    }
    assert done.told == ["uploaded 4/4 files, 0.0 of 0.0 MB"]


async def test_an_answer_that_was_lost_makes_no_second_post(folder: Path, tmp_path: Path) -> None:
    put(folder, **{f"file-{n}": bytes(n) for n in range(6)})
    done = await upload(read_content(folder), tmp_path, lose=4)
    assert sum(done.site.uploads.values()) == 6 + 4
    assert done.problems == []
    assert (await rows(done.records)).keys() == done.manifest.keys()
    assert len(done.manifest) == 6


async def test_a_file_that_is_turned_down_or_gone_is_named_and_the_rest_goes_on(
    folder: Path, tmp_path: Path
) -> None:
    put(folder, a=b"1", b=b"2", c=b"3")
    content = read_content(folder)
    (folder / "b").unlink()
    done = await upload(content, tmp_path, refuse="a")
    assert {problem.what for problem in done.problems} == {
        "file 'a' was not uploaded: not this one",
        "file 'b' was not uploaded: it cannot be read any more: No such file or directory",
    }
    assert [file.path for file in done.manifest.values()] == ["c"]
    (failed,) = (one for one in done.history.of("upload") if not one.ok)
    assert failed.outcome is Outcome.FAILED


async def test_a_refusal_after_a_lost_answer_leaves_the_upload_unknown(folder: Path, tmp_path: Path) -> None:
    put(folder, a=b"1")
    done = await upload(read_content(folder), tmp_path, lose=1, refuse="a")
    (tried,) = done.history.of("upload")
    assert (tried.outcome, tried.answered["attempts"]) == (Outcome.UNKNOWN, 2)
    assert [problem.what for problem in done.problems] == ["file 'a' was not uploaded: not this one"]
    assert done.manifest == {}


async def test_a_file_that_shrinks_while_it_is_sent_is_not_tried_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, a=b"1" * 100)
    content = read_content(folder)

    async def shrinks(path: Path) -> FileBody:
        body = await file_body(path)
        path.write_bytes(b"1")
        return body

    monkeypatch.setattr(uploads, "file_body", shrinks)
    done = await upload(content, tmp_path)
    assert [problem.what for problem in done.problems] == [
        "file 'a' was not uploaded: it changed while it was read"
    ]
    assert done.site.uploads == {"a": 1}
    assert done.manifest == {}


# -- the disk afterwards


async def test_a_folder_that_stayed_as_it_was_is_held(folder: Path, tmp_path: Path) -> None:
    put(folder, a=b"1", b=b"")
    content = read_content(folder)
    done = await upload(content, tmp_path)
    assert (await compared(content, done.manifest.values(), done.problems)).verdict is Verdict.HELD


async def test_whatever_changed_on_disk_meanwhile_is_named_and_nothing_is_concluded(
    folder: Path, tmp_path: Path
) -> None:
    put(folder, same=b"1", other=b"1", gone=b"1", said=b"1", doubted=b"1")
    content = read_content(folder)
    done = await upload(content, tmp_path, refuse="doubted")
    put(folder, other=b"2", new=b"")
    (folder / "gone").unlink()
    (folder / "link").symlink_to("same")
    seen = await compared(content, done.manifest.values(), done.problems)
    told = "\n".join(witness.what for witness in seen.witnesses)
    assert seen.verdict is Verdict.INCONCLUSIVE
    assert "file 'doubted' was not uploaded: not this one" in told
    assert (
        f"file 'other' changed during the job: it had 1 bytes, sha256 {sha256(b'1').hexdigest()[:12]}" in told
    )
    assert "file 'gone' changed during the job: it cannot be read any more (No such file or dir" in told
    assert "the content folder changed during the job: 'link' is a symbolic link to 'same'" in told
    (folder / "link").unlink()
    say(folder, {"file": "said", "title": "another"})
    seen = await compared(content, done.manifest.values(), ())
    assert [witness.what for witness in seen.witnesses][:2] == [
        "file 'new' came during the job, and was not moved",
        "what metadata.jsonl says of file 'said' changed during the job",
    ]
    assert "'same'" not in "".join(witness.what for witness in seen.witnesses)
