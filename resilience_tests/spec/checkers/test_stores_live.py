"""The live reader finds what stands in a real PostgreSQL and a real S3 server, and nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from botocore.config import Config

from drill import stores_live
from drill.checkers import Evidence, judge
from drill.history import history_of
from drill.stores import FenceFacts, ObjectFacts
from drill.stores_live import BucketAccess, DatabaseAccess, LiveStoreReader, StoresUnreadable
from drill.verdict import Verdict
from resilience_tests.contract.platform.servers import (
    S3_KEY,
    S3_SECRET,
    USER,
    Server,
    free_port,
    throwaway_s3,
    throwaway_server,
)

BODY = b"the bytes of a video"
DIGEST = sha256(BODY).hexdigest()

ROWS = f"""
insert into users (name, created_at) values ('ann', '2026-01-02 03:04:05.678901+02');
insert into sessions values ('t-1', 'ann', now());
insert into posts
    (id, author, title, caption, tags, audio, object_key, sha256, size, likes, views, request_id)
    values ('p-1', 'ann', 'first', '', '{{one,"two, three"}}', '',
            'objects/{DIGEST}', '{DIGEST}', {len(BODY)}, 1, 2, 'r-1');
insert into post_likes values ('p-1', 'bob', 'r-2');
insert into requests values ('r-3', now());
insert into comments (id, post_id, author, body, request_id) values (7, 'p-1', 'bob', 'nice', 'r-4');
insert into ledger (id, post_id, account, cents, request_id) values (8, null, 'ann', 250, 'r-5');
insert into queue (id, post_id, state, request_id) values (9, 'p-1', 'waiting', 'r-1');
"""

ENGINE = """
create schema cutover;
create table cutover.set_aside (table_name text, key jsonb, reason text);
insert into cutover.set_aside values
    ('public.posts', '["p-9"]', 'its object cannot be had'), ('post_likes', '["p-9", "bob"]', 'its post');
create sequence cutover.fence_state minvalue 0 start 5;
"""


@dataclass(frozen=True)
class Site:
    """A database and a bucket that a test may write to as it likes."""

    server: Server
    s3: Any
    reader: LiveStoreReader


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with throwaway_server() as server, throwaway_s3(tmp_path_factory.mktemp("s3")) as endpoint:
        server.execute(ROWS, "fresh")
        s3 = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=S3_KEY,
            aws_secret_access_key=S3_SECRET,
            config=Config(s3={"addressing_style": "path"}),
        )
        s3.create_bucket(Bucket="videos")
        reader = LiveStoreReader(
            site="east",
            database=DatabaseAccess(
                host="127.0.0.1", port=server.port, database="fresh", user=USER, password="secret"
            ),
            bucket=BucketAccess(
                endpoint=endpoint,
                bucket="videos",
                region="us-east-1",
                access_key=S3_KEY,
                secret_key=S3_SECRET,
            ),
        )
        yield Site(server, s3, reader)
        s3.close()


async def test_every_row_and_the_bytes_of_every_object_are_read(site: Site) -> None:
    keys = [f"objects/{DIGEST}", "d//x", "./y", "/lead", "trail/", "ä ö\u2028?&%41", "empty"]
    for key in keys:
        body = b"" if key == "empty" else BODY
        site.s3.put_object(Bucket="videos", Key=key, Body=body)
    stores = await site.reader.read()
    assert set(stores.objects) == set(keys)
    found = stores.objects[f"objects/{DIGEST}"]
    assert found == ObjectFacts(size=len(BODY), sha256=DIGEST, etag=found.etag)
    assert stores.objects["empty"].sha256 == sha256(b"").hexdigest()
    assert stores.users["ann"].created_at == "2026-01-02 01:04:05.678901+00"
    assert stores.posts["p-1"].tags == ("one", "two, three")
    assert (stores.posts["p-1"].likes, stores.posts["p-1"].views) == (1, 2)
    assert stores.likes["p-1", "bob"].request_id == "r-2"
    assert stores.comments[7].body == "nice"
    assert (stores.ledger[8].cents, stores.ledger[8].post_id) == (250, "")
    assert stores.queue[9].state == "waiting"
    assert stores.sessions["t-1"].user_name == "ann"
    assert set(stores.requests) == {"r-3"}
    assert (stores.hidden, stores.fence) == ({}, None)


async def test_more_objects_than_a_page_of_a_listing_are_all_read(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores_live, "PAGE_KEYS", 3)
    site.s3.create_bucket(Bucket="many")
    for number in range(10):
        site.s3.put_object(Bucket="many", Key=f"o-{number}", Body=b"x")
    reader = replace(site.reader, bucket=replace(site.reader.bucket, bucket="many"))
    assert len((await reader.read()).objects) == 10


async def test_what_the_engine_set_aside_is_read_by_table_and_key(site: Site) -> None:
    site.server.execute(ENGINE, "fresh")
    try:
        stores = await site.reader.read()
    finally:
        site.server.execute("drop schema cutover cascade", "fresh")
    assert stores.hidden == {
        "posts": {"p-9": "its object cannot be had"},
        "post_likes": {"p-9/bob": "its post"},
    }
    assert stores.fence == FenceFacts(role="open", epoch=2)


async def test_the_reader_cannot_write(site: Site) -> None:
    connection = await site.reader._connect()
    try:
        await connection.set_read_only(True)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await connection.execute("delete from users")
    finally:
        await connection.close()


async def test_wrong_bytes_are_found_whatever_the_store_says_of_them(site: Site) -> None:
    site.s3.create_bucket(Bucket="wrong")
    site.s3.put_object(Bucket="wrong", Key=f"objects/{DIGEST}", Body=BODY[::-1], Metadata={"sha256": DIGEST})
    reader = replace(site.reader, bucket=replace(site.reader.bucket, bucket="wrong"))
    evidence = Evidence(serving=await reader.read(), other=None, stage="")
    (finding,) = judge(history_of([]), evidence, ["attached"])
    assert finding.verdict is Verdict.VIOLATED


async def test_a_store_that_is_away_is_named_and_its_password_is_not(site: Site) -> None:
    down = free_port()
    database = replace(site.reader, database=replace(site.reader.database, port=down, password="hunter2"))
    with pytest.raises(StoresUnreadable, match=f"PostgreSQL .*{down}.* of site 'east'") as refused:
        await database.read()
    assert "hunter2" not in str(refused.value)
    bucket = replace(site.reader, bucket=replace(site.reader.bucket, bucket="nowhere"))
    with pytest.raises(StoresUnreadable, match=r"bucket .*nowhere\) of site 'east'.*NoSuchBucket"):
        await bucket.read()


def test_secrets_are_not_shown(site: Site, tmp_path: Path) -> None:
    assert S3_SECRET not in repr(site.reader)
    assert "secret" not in repr(site.reader.database)
