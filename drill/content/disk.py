"""Whether the folder is still what it was when its files were uploaded."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from drill.checkers.evidence import ContentFile
from drill.content.reading import Content, ContentRefused, File, read_content
from drill.verdict import Finding, Witness, finding
from sample_platform.body import file_body

NAME = "files"


async def files(content: Content, uploaded: Iterable[ContentFile], problems: Iterable[Witness]) -> Finding:
    """Read the folder again; whatever was not uploaded, or changed meanwhile, leaves a doubt by name.

    The new site is compared with the digests taken at the upload; this says that they
    are those of the disk now. One file is read at a time, and none is kept in memory.
    """
    doubts = [*problems]
    doubts += [Witness(what=what) async for what in _changes(content, uploaded)]
    return finding(NAME, doubts=doubts, counts={"files": len(content.files), "doubtful": len(doubts)})


async def _changes(content: Content, uploaded: Iterable[ContentFile]) -> AsyncIterator[str]:
    try:
        now = await asyncio.to_thread(read_content, content.folder)
    except ContentRefused as error:
        for problem in error.problems:
            yield f"the content folder changed during the job: {problem}"
    else:
        for what in _moved(content.files, now.files):
            yield what
    for file in uploaded:
        try:
            body = await file_body(content.folder / file.path)
        except OSError as error:
            yield f"file {file.path!r} changed during the job: it cannot be read any more ({error.strerror})"
            continue
        if body.sha256 != file.sha256:
            yield (
                f"file {file.path!r} changed during the job: it had {file.size} bytes, sha256 "
                f"{file.sha256[:12]}..., and has {body.size} bytes, sha256 {body.sha256[:12]}..."
            )


def _moved(then: Iterable[File], now: Iterable[File]) -> Iterable[str]:
    before, after = ({file.path: file.post for file in files} for files in (then, now))
    for path, post in after.items():
        if path not in before:
            yield f"file {path!r} came during the job, and was not moved"
        elif post != before[path]:
            yield f"what metadata.jsonl says of file {path!r} changed during the job"
