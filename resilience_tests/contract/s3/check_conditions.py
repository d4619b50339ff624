"""Conditional reads, writes and deletes, one client at a time."""

from datetime import timedelta

from resilience_tests.contract.s3.place import Place, refused

OTHER_ETAG = '"00000000000000000000000000000000"'


def check_put_if_none_match(at: Place) -> None:
    at.put("key", b"first", IfNoneMatch="*")
    with refused(412, "PreconditionFailed"):
        at.put("key", b"second", IfNoneMatch="*")
    assert at.get("key") == b"first"
    at.client.delete_object(Bucket=at.bucket, Key="key")
    at.put("key", b"third", IfNoneMatch="*")
    assert at.get("key") == b"third"


def check_put_if_match(at: Place) -> None:
    etag = at.put("key", b"first")
    second = at.put("key", b"second", IfMatch=etag)
    with refused(412, "PreconditionFailed"):
        at.put("key", b"third", IfMatch=etag)
    assert at.get("key") == b"second"
    at.put("key", b"fourth", IfMatch=second.strip('"'))
    assert at.get("key") == b"fourth"


def check_put_if_match_on_a_missing_key(at: Place) -> None:
    with refused(404, "NoSuchKey"):
        at.put("key", IfMatch=OTHER_ETAG)
    assert at.keys() == []


def check_large_put_if_none_match(at: Place) -> None:
    at.put("key", b"first")
    with refused(412, "PreconditionFailed"):
        at.put("key", bytes(2_000_000), IfNoneMatch="*")
    assert at.get("key") == b"first"


def check_get_if_match(at: Place) -> None:
    etag = at.put("key")
    assert at.get("key", IfMatch=etag) == b"bytes"
    with refused(412, "PreconditionFailed"):
        at.get("key", IfMatch=OTHER_ETAG)
    with refused(412):
        at.head("key", IfMatch=OTHER_ETAG)


def check_get_if_none_match(at: Place) -> None:
    etag = at.put("key")
    assert at.get("key", IfNoneMatch=OTHER_ETAG) == b"bytes"
    with refused(304):
        at.get("key", IfNoneMatch=etag)
    with refused(304):
        at.head("key", IfNoneMatch=etag)


def check_get_if_modified(at: Place) -> None:
    at.put("key")
    modified = at.head("key")["LastModified"]
    earlier, later = modified - timedelta(hours=1), modified + timedelta(seconds=1)
    assert at.get("key", IfModifiedSince=earlier) == b"bytes"
    assert at.get("key", IfUnmodifiedSince=later) == b"bytes"
    with refused(304):
        at.get("key", IfModifiedSince=modified)
    with refused(412, "PreconditionFailed"):
        at.get("key", IfUnmodifiedSince=earlier)


def check_delete_if_match(at: Place) -> None:
    etag = at.put("key")
    with refused(412, "PreconditionFailed"):
        at.client.delete_object(Bucket=at.bucket, Key="key", IfMatch=OTHER_ETAG)
    assert at.get("key") == b"bytes"
    at.client.delete_object(Bucket=at.bucket, Key="key", IfMatch=etag)
    assert at.keys() == []


def check_delete_if_match_on_a_missing_key(at: Place) -> None:
    with refused(404, "NoSuchKey"):
        at.client.delete_object(Bucket=at.bucket, Key="key", IfMatch=OTHER_ETAG)


def check_delete_many_if_match(at: Place) -> None:
    first, _ = at.put("first", b"1"), at.put("second", b"2")
    wanted = [{"Key": "first", "ETag": first}, {"Key": "second", "ETag": OTHER_ETAG}]
    answer = at.client.delete_objects(Bucket=at.bucket, Delete={"Objects": wanted})
    assert [one["Key"] for one in answer["Deleted"]] == ["first"]
    assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [("second", "PreconditionFailed")]
    assert at.keys() == ["second"]
