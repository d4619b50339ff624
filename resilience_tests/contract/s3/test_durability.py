"""An acknowledgement rests on the syncs: where one fails, nothing is acknowledged and nothing is changed."""

import asyncio
import errno
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.s3_server.committer import Transaction
from infra.s3_server.index import Index, Segment, StoredObject
from infra.s3_server.store import Store

BUCKET = "bucket"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path)
    await store.commit(lambda transaction: transaction.index.add_bucket(BUCKET, 0))
    yield store
    await store.close()


async def put(store: Store, key: bytes, body: bytes | Path) -> None:
    def change(transaction: Transaction) -> None:
        segment = Segment(name=transaction.take(body), size=5)
        stored = StoredObject(key=key, size=5, etag="", modified=0, segments=(segment,), headers={})
        transaction.index.put_object(BUCKET, stored)

    await store.commit(change)


def broken(*_: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
async def test_a_body_or_name_that_cannot_be_synced_is_not_acknowledged(
    store: Store, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """`fdatasync` makes the bytes durable, `fsync` the directory that names them."""
    await put(store, b"before", b"bytes")
    with monkeypatch.context() as patched:
        patched.setattr(os, call, broken)
        with pytest.raises(OSError, match="Input/output error"):
            await put(store, b"key", b"bytes")
    assert store.index.find_object(BUCKET, b"key") is None
    await put(store, b"after", b"bytes")
    page = store.index.page(BUCKET, prefix=b"", delimiter=b"", start=b"", limit=10)
    assert [one.key for one in page.objects] == [b"after", b"before"]


async def test_of_a_batch_that_cannot_be_synced_nobody_is_acknowledged(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also who was refused because of a change in the same batch: that change never was."""
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", broken)
        outcomes = await asyncio.gather(
            *(put(store, b"key-%d" % number, b"bytes") for number in range(20)), return_exceptions=True
        )
    assert all(isinstance(outcome, OSError) for outcome in outcomes)
    page = store.index.page(BUCKET, prefix=b"", delimiter=b"", start=b"", limit=10)
    assert page.objects == ()


async def test_the_index_syncs_every_commit(tmp_path: Path) -> None:
    index = Index(tmp_path / "index.sqlite")
    found = [index.pragma(name) for name in ("journal_mode", "synchronous")]
    index.close()
    assert found == ["wal", 2]


async def test_a_body_being_sent_outlives_its_object(store: Store) -> None:
    await put(store, b"key", b"bytes")
    stored = store.find_object(BUCKET, b"key")
    path = store.bodies.path(stored.segments[0].name)
    with store.holding(stored):
        await store.commit(lambda transaction: _remove(transaction, stored))
        await put(store, b"other", b"bytes")
        assert path.read_bytes() == b"bytes"
    await store.settled()
    assert not path.exists()


def _remove(transaction: Transaction, stored: StoredObject) -> None:
    transaction.index.remove_object(BUCKET, stored.key)
    transaction.give_up(stored.segments[0].name)


async def test_an_index_that_is_not_ours_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").write_bytes(b"this is not a database" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        Store(tmp_path)
