"""The user's own files on real sites: moved twice, and found at the new site by anybody's clients."""

import json
import os
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from random import Random

import boto3
import psycopg
import pytest

from cutover.model.outputs import Credentials, Outputs
from drill.content import ContentSuite
from drill.verdict import Verdict
from drill.workload.clients import Amount
from infra.embedded.errors import NoSuchStack
from infra.embedded.stack import EmbeddedStack

STACK = f"content-{os.getpid()}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    content = tmp_path / "content"
    deep = content / "trip" / "day 1" / ".hidden"
    deep.mkdir(parents=True)
    (content / os.fsdecode(b"caf\xe9.bin")).write_bytes(b"latin")
    (content / "empty").touch()
    (deep / "same 1").write_bytes(b"same")
    (deep / "same\n2").write_bytes(b"same")
    (content / "trip" / "film.mp4").write_bytes(Random(1).randbytes(20_000_000))
    film = {
        "file": "trip/film.mp4",
        "title": "日常 🎬",
        "caption": "a\nb\u0001",
        "tags": ["ü"],
        "audio": "rain",
        "author": "Zoë ☃",
    }
    lines = [film, {"file": "caf\udce9.bin", "title": "café"}]
    (content / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return content


@pytest.fixture
async def kept() -> AsyncIterator[None]:
    """Takes the stack down that the job leaves."""
    yield
    try:
        await (await EmbeddedStack.attach(STACK)).down()
    except NoSuchStack:
        return


async def outputs() -> Outputs:
    stack = await EmbeddedStack.attach(STACK)
    try:
        return stack.outputs()
    finally:
        await stack.close()


def found_at(site: str, told: Outputs) -> list[tuple[object, ...]]:
    """Every post of the job, with the digest of its bytes, by plain clients of the outputs contract."""
    one = told.sites[site]
    secrets = Credentials.from_json(Path(one.credentials_file).read_text())
    store = boto3.client(
        "s3",
        endpoint_url=one.s3.endpoint,
        region_name=one.s3.region,
        aws_access_key_id=secrets.s3.access_key,
        aws_secret_access_key=secrets.s3.secret_key.reveal(),
    )
    with psycopg.connect(
        host=one.postgres.host,
        port=one.postgres.port,
        dbname=one.postgres.database,
        user="checker",
        password=secrets.postgres["checker"].reveal(),
    ) as connection:
        rows = connection.execute(
            "select title, caption, tags, audio, author, object_key from posts "
            "where request_id like 'content-%' order by title collate \"C\""
        ).fetchall()
    try:
        return [
            (*row[:5], sha256(store.get_object(Bucket=one.s3.bucket, Key=row[5])["Body"].read()).hexdigest())
            for row in rows
        ]
    finally:
        store.close()


@pytest.mark.usefixtures("kept")
async def test_own_files_are_at_the_new_site_with_all_that_was_said_of_them(
    folder: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    job = ContentSuite.of(folder, seed=1, folder=tmp_path / "report", tell=told.append, keep_stack=True)
    job.name, job.amount = STACK, Amount(uploads=40, others=300)
    report = await job.run()
    assert [drill.verdict for drill in report.drills] == [Verdict.HELD] * 2, report.to_json()
    assert [drill.schedule != () for drill in report.drills] == [False, True]
    for drill in report.drills:
        judged = {finding.checker: finding.counts for finding in drill.findings}
        assert judged["content"]["files"] == judged["files"]["files"] == 5
    assert any("uploaded 5/5 files, 20.0 of 20.0 MB" in line for line in told)

    def digest(path: str) -> str:
        return sha256((folder / path).read_bytes()).hexdigest()

    assert found_at("west", await outputs()) == [
        ("café", "", [], "", "user-0", digest(os.fsdecode(b"caf\xe9.bin"))),
        ("empty", "", [], "", "user-0", sha256().hexdigest()),
        ("same\n2", "", [], "", "user-0", sha256(b"same").hexdigest()),
        ("same 1", "", [], "", "user-0", sha256(b"same").hexdigest()),
        ("日常 🎬", "a\nb\u0001", ["ü"], "rain", "Zoë ☃", digest("trip/film.mp4")),
    ]
