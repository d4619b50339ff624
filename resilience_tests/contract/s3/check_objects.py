"""One object: bytes, key, metadata, headers, ranges."""

import os
from datetime import UTC, datetime

from resilience_tests.contract.s3.place import Place, refused, status_of

HOSTILE_KEYS = (
    "d//x",
    "./x",
    "../x",
    "a/../b",
    "/lead",
    "trail/",
    "//",
    ".",
    "..",
    "sp ace",
    "pl+us",
    "per%25cent%",
    "que?ry&a=b#c",
    "tab\tnew\nline",
    "\x01\x1f\x7f",
    "quote'\"<>\\`{}|^",
    "ünï/çødé",
    "e\u0301",
    "\u00e9",
    "\U0001f600",
    "x" * 1024,
)


def check_put_and_get(at: Place) -> None:
    for size in (0, 1, 4096, 300_000, 3_000_000):
        body = os.urandom(size)
        at.put(f"size-{size}", body)
        assert at.get(f"size-{size}") == body


def check_overwrite(at: Place) -> None:
    at.put("key", b"first", Metadata={"only": "first"})
    at.put("key", b"second")
    assert at.get("key") == b"second"
    assert at.head("key")["Metadata"] == {}


def check_every_byte_of_a_key_is_kept(at: Place) -> None:
    for key in HOSTILE_KEYS:
        at.put(key, key.encode())
    for key in HOSTILE_KEYS:
        assert at.get(key) == key.encode(), key
        assert at.head(key)["ContentLength"] == len(key.encode()), key
    assert at.keys() == sorted(HOSTILE_KEYS, key=str.encode)
    for key in HOSTILE_KEYS:
        at.client.delete_object(Bucket=at.bucket, Key=key)
    assert at.keys() == []


def check_a_key_and_a_longer_key_below_it(at: Place) -> None:
    at.put("pa", b"short")
    at.put("pa/b", b"long")
    at.put("dir/", b"with a body")
    assert (at.get("pa"), at.get("pa/b"), at.get("dir/")) == (b"short", b"long", b"with a body")


def check_key_too_long(at: Place) -> None:
    with refused(400):
        at.put("x" * 1025)


def check_missing_object(at: Place) -> None:
    with refused(404, "NoSuchKey"):
        at.get("nothing")
    with refused(404):
        at.head("nothing")


def check_missing_bucket(at: Place) -> None:
    with refused(404, "NoSuchBucket"):
        at.client.put_object(Bucket=f"{at.bucket}-not", Key="key", Body=b"")
    with refused(404, "NoSuchBucket"):
        at.client.get_object(Bucket=f"{at.bucket}-not", Key="key")


def check_user_metadata(at: Place) -> None:
    metadata = {
        "plain": "value",
        "empty": "",
        "blanks": 'two  blanks,  and = signs; "quotes"',
        "rfc2047": "=?UTF-8?B?w7xtbMOkdXQ=?=",
        "percent": "%C3%BC %25",
        "x" * 100: "y" * 1500,
    }
    at.put("key", Metadata=metadata)
    assert at.head("key")["Metadata"] == metadata
    assert at.client.get_object(Bucket=at.bucket, Key="key")["Metadata"] == metadata


def check_metadata_too_large(at: Place) -> None:
    with refused(400, "MetadataTooLarge"):
        at.put("key", Metadata={"large": "x" * 2049})


def check_content_headers(at: Place) -> None:
    expires = datetime(2031, 1, 2, 3, 4, 5, tzinfo=UTC)
    headers = {
        "ContentType": "video/mp4; codecs=avc1",
        "CacheControl": "max-age=60, public",
        "ContentDisposition": 'attachment; filename="a b.mp4"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "en-GB",
    }
    at.put("key", b"bytes", Expires=expires, **headers)
    found = at.head("key")
    assert {name: found[name] for name in headers} == headers
    assert found["ExpiresString"] == "Thu, 02 Jan 2031 03:04:05 GMT"


def check_default_content_type(at: Place) -> None:
    at.client.put_object(Bucket=at.bucket, Key="key", Body=b"")
    assert at.head("key")["ContentType"] == "binary/octet-stream"


def check_answer_headers_can_be_overridden(at: Place) -> None:
    at.put("key", ContentType="text/plain")
    found = at.client.get_object(Bucket=at.bucket, Key="key", ResponseContentType="image/png")
    assert found["ContentType"] == "image/png"


def check_etag_is_the_md5(at: Place) -> None:
    assert at.put("key", b"bytes") == '"4b3a6218bb3e3a7303e8a171a60fcf92"'
    assert at.head("key")["ETag"] == '"4b3a6218bb3e3a7303e8a171a60fcf92"'


def check_ranges(at: Place) -> None:
    body = os.urandom(100_000)
    at.put("key", body)
    for asked, wanted in (
        ("bytes=0-0", body[:1]),
        ("bytes=10-19", body[10:20]),
        ("bytes=99990-", body[99_990:]),
        ("bytes=99990-200000", body[99_990:]),
        ("bytes=-10", body[-10:]),
        ("bytes=-200000", body),
    ):
        found = at.client.get_object(Bucket=at.bucket, Key="key", Range=asked)
        start = len(body) - len(wanted) if asked.startswith("bytes=-") else body.index(wanted)
        assert found["Body"].read() == wanted, asked
        assert found["ResponseMetadata"]["HTTPStatusCode"] == 206, asked
        assert found["ContentRange"] == f"bytes {start}-{start + len(wanted) - 1}/{len(body)}", asked


def check_range_past_the_end(at: Place) -> None:
    at.put("key", b"0123456789")
    with refused(416, "InvalidRange"):
        at.get("key", Range="bytes=10-")
    at.put("empty", b"")
    with refused(416, "InvalidRange"):
        at.get("empty", Range="bytes=0-")


def check_delete(at: Place) -> None:
    at.put("key")
    for _ in range(2):
        answer = at.client.delete_object(Bucket=at.bucket, Key="key")
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused(404, "NoSuchKey"):
        at.get("key")


def check_delete_many(at: Place) -> None:
    keys = [*(key for key in HOSTILE_KEYS if key.isprintable()), "missing"]
    for key in keys[:-1]:
        at.put(key)
    at.put("kept")
    answer = at.client.delete_objects(Bucket=at.bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert sorted(one["Key"] for one in answer["Deleted"]) == sorted(keys)
    assert at.keys() == ["kept"]


def check_delete_many_quietly(at: Place) -> None:
    at.put("key")
    wanted = {"Objects": [{"Key": "key"}], "Quiet": True}
    assert "Deleted" not in at.client.delete_objects(Bucket=at.bucket, Delete=wanted)
    assert at.keys() == []


def check_tags_are_kept_or_refused(at: Place) -> None:
    status = status_of(
        lambda: at.client.put_object(Bucket=at.bucket, Key="key", Body=b"", Tagging="colour=red")
    )
    assert status in (200, 501)
    if status == 501:
        assert at.keys() == []
    else:
        found = at.client.get_object_tagging(Bucket=at.bucket, Key="key")
        assert found["TagSet"] == [{"Key": "colour", "Value": "red"}]
