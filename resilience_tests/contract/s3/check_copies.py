"""Copies inside the server."""

from datetime import timedelta
from typing import Any

from resilience_tests.contract.s3.check_conditions import OTHER_ETAG
from resilience_tests.contract.s3.check_multipart import PART, uploaded
from resilience_tests.contract.s3.check_objects import HOSTILE_KEYS
from resilience_tests.contract.s3.place import Place, refused


def copy(at: Place, source: str, key: str, **arguments: Any) -> Any:
    wanted = {"Bucket": at.bucket, "Key": source}
    return at.client.copy_object(Bucket=at.bucket, Key=key, CopySource=wanted, **arguments)


def check_copy_keeps_bytes_and_metadata(at: Place) -> None:
    etag = at.put("source", Metadata={"who": "me"}, ContentType="video/mp4", CacheControl="max-age=60")
    answer = copy(at, "source", "key")
    assert answer["CopyObjectResult"]["ETag"] == etag
    found = at.head("key")
    assert (found["Metadata"], found["ContentType"], found["CacheControl"]) == (
        {"who": "me"},
        "video/mp4",
        "max-age=60",
    )
    assert at.get("key") == b"bytes"


def check_copy_replaces_metadata_when_asked(at: Place) -> None:
    at.put("source", Metadata={"who": "me"}, ContentType="video/mp4")
    copy(at, "source", "key", MetadataDirective="REPLACE", Metadata={"who": "you"}, ContentType="image/png")
    found = at.head("key")
    assert (found["Metadata"], found["ContentType"]) == ({"who": "you"}, "image/png")


def check_copy_outlives_its_source(at: Place) -> None:
    at.put("source", b"first")
    copy(at, "source", "key")
    at.put("source", b"second")
    assert at.get("key") == b"first"
    at.client.delete_object(Bucket=at.bucket, Key="source")
    assert at.get("key") == b"first"


def check_copy_of_hostile_keys(at: Place) -> None:
    for number, key in enumerate(HOSTILE_KEYS):
        at.put(key, key.encode())
        copy(at, key, f"copy-{number}")
        assert at.get(f"copy-{number}") == key.encode(), key


def check_copy_of_an_object_in_parts(at: Place) -> None:
    uploaded(at, "source", PART, b"last")
    copy(at, "source", "key")
    at.client.delete_object(Bucket=at.bucket, Key="source")
    assert at.get("key") == PART + b"last"


def check_copy_onto_itself(at: Place) -> None:
    at.put("key", Metadata={"who": "me"})
    with refused(400, "InvalidRequest"):
        copy(at, "key", "key")
    copy(at, "key", "key", MetadataDirective="REPLACE", Metadata={"who": "you"})
    assert (at.get("key"), at.head("key")["Metadata"]) == (b"bytes", {"who": "you"})


def check_copy_of_nothing(at: Place) -> None:
    with refused(404, "NoSuchKey"):
        copy(at, "nothing", "key")
    assert at.keys() == []


def check_copy_if_none_match(at: Place) -> None:
    at.put("source", b"new")
    at.put("key", b"old")
    with refused(412, "PreconditionFailed"):
        copy(at, "source", "key", IfNoneMatch="*")
    assert at.get("key") == b"old"
    copy(at, "source", "free", IfNoneMatch="*")
    assert at.get("free") == b"new"


def check_copy_if_match(at: Place) -> None:
    at.put("source", b"new")
    etag = at.put("key", b"old")
    with refused(412, "PreconditionFailed"):
        copy(at, "source", "key", IfMatch=OTHER_ETAG)
    assert at.get("key") == b"old"
    copy(at, "source", "key", IfMatch=etag)
    assert at.get("key") == b"new"


def check_copy_if_the_source_is_as_seen(at: Place) -> None:
    etag = at.put("source")
    modified = at.head("source")["LastModified"]
    copy(at, "source", "key", CopySourceIfMatch=etag)
    copy(at, "source", "key", CopySourceIfNoneMatch=OTHER_ETAG)
    with refused(412, "PreconditionFailed"):
        copy(at, "source", "other", CopySourceIfMatch=OTHER_ETAG)
    with refused(412, "PreconditionFailed"):
        copy(at, "source", "other", CopySourceIfNoneMatch=etag)
    with refused(412, "PreconditionFailed"):
        copy(at, "source", "other", CopySourceIfUnmodifiedSince=modified - timedelta(hours=1))
    assert at.keys() == ["key", "source"]
