"""Multipart uploads."""

import hashlib
import os
from typing import Any

from resilience_tests.contract.s3.place import Place, refused

MIB = 1024 * 1024
PART = os.urandom(5 * MIB)


def begin(at: Place, key: str, **arguments: Any) -> str:
    upload: str = at.client.create_multipart_upload(Bucket=at.bucket, Key=key, **arguments)["UploadId"]
    return upload


def add(at: Place, key: str, upload: str, number: int, body: bytes) -> dict[str, Any]:
    """Upload a part; return how a completion names it."""
    answer = at.client.upload_part(Bucket=at.bucket, Key=key, UploadId=upload, PartNumber=number, Body=body)
    return {"PartNumber": number, "ETag": answer["ETag"]}


def complete(at: Place, key: str, upload: str, parts: list[dict[str, Any]], **arguments: Any) -> Any:
    return at.client.complete_multipart_upload(
        Bucket=at.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, **arguments
    )


def uploaded(at: Place, key: str, *bodies: bytes, **arguments: Any) -> Any:
    """Upload an object in parts; return the completion's answer."""
    upload = begin(at, key)
    return complete(
        at, key, upload, [add(at, key, upload, n, body) for n, body in enumerate(bodies, 1)], **arguments
    )


def check_upload_in_parts(at: Place) -> None:
    upload = begin(at, "ünï//key", Metadata={"who": "me"}, ContentType="video/mp4")
    second = add(at, "ünï//key", upload, 7, b"last")
    first = add(at, "ünï//key", upload, 2, PART)
    assert at.keys() == []
    answer = complete(at, "ünï//key", upload, [first, second])
    assert at.get("ünï//key") == PART + b"last"
    found = at.head("ünï//key")
    assert (found["Metadata"], found["ContentType"]) == ({"who": "me"}, "video/mp4")
    assert found["ETag"] == answer["ETag"]


def check_etag_is_the_md5_of_md5s(at: Place) -> None:
    answer = uploaded(at, "key", PART, b"last")
    digests = b"".join(hashlib.md5(body).digest() for body in (PART, b"last"))
    assert answer["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-2"'


def check_range_across_parts(at: Place) -> None:
    uploaded(at, "key", PART, b"0123456789")
    assert at.get("key", Range=f"bytes={len(PART) - 3}-{len(PART) + 2}") == PART[-3:] + b"012"
    assert at.get("key", Range="bytes=-4") == b"6789"


def check_a_part_can_be_replaced(at: Place) -> None:
    upload = begin(at, "key")
    old = add(at, "key", upload, 1, b"old")
    new = add(at, "key", upload, 1, b"new")
    with refused(400, "InvalidPart"):
        complete(at, "key", upload, [old])
    complete(at, "key", upload, [new])
    assert at.get("key") == b"new"


def check_parts_left_out_are_not_in_the_object(at: Place) -> None:
    upload = begin(at, "key")
    parts = [add(at, "key", upload, number, PART if number == 1 else b"%d" % number) for number in (1, 2, 3)]
    complete(at, "key", upload, [parts[0], parts[2]])
    assert at.get("key") == PART + b"3"


def check_small_parts_are_refused(at: Place) -> None:
    upload = begin(at, "key")
    parts = [add(at, "key", upload, 1, b"small"), add(at, "key", upload, 2, b"last")]
    with refused(400, "EntityTooSmall"):
        complete(at, "key", upload, parts)
    assert at.keys() == []


def check_wrong_order_is_refused(at: Place) -> None:
    upload = begin(at, "key")
    parts = [add(at, "key", upload, 1, PART), add(at, "key", upload, 2, PART)]
    with refused(400, "InvalidPartOrder"):
        complete(at, "key", upload, parts[::-1])
    assert at.keys() == []


def check_missing_parts_are_refused(at: Place) -> None:
    upload = begin(at, "key")
    part = add(at, "key", upload, 1, b"bytes")
    with refused(400, "InvalidPart"):
        complete(at, "key", upload, [{"PartNumber": 2, "ETag": part["ETag"]}])
    with refused(400, "InvalidArgument"):
        add(at, "key", upload, 10_001, b"bytes")


def check_abort(at: Place) -> None:
    upload = begin(at, "key")
    part = add(at, "key", upload, 1, b"bytes")
    at.client.abort_multipart_upload(Bucket=at.bucket, Key="key", UploadId=upload)
    with refused(404, "NoSuchUpload"):
        complete(at, "key", upload, [part])
    with refused(404, "NoSuchUpload"):
        add(at, "key", upload, 1, b"bytes")
    assert at.keys() == []


def check_complete_if_none_match(at: Place) -> None:
    at.put("key", b"there")
    with refused(412, "PreconditionFailed"):
        uploaded(at, "key", b"late", IfNoneMatch="*")
    assert at.get("key") == b"there"
    uploaded(at, "free", b"first", IfNoneMatch="*")
    assert at.get("free") == b"first"


def check_complete_if_match(at: Place) -> None:
    etag = at.put("key", b"there")
    uploaded(at, "key", b"second", IfMatch=etag)
    with refused(412, "PreconditionFailed"):
        uploaded(at, "key", b"third", IfMatch=etag)
    assert at.get("key") == b"second"


def check_a_repeated_completion_answers_the_same(at: Place) -> None:
    """The first answer may have been lost on its way."""
    upload = begin(at, "key")
    part = add(at, "key", upload, 1, b"bytes")
    first = complete(at, "key", upload, [part])
    assert complete(at, "key", upload, [part])["ETag"] == first["ETag"]


def check_list_parts(at: Place) -> None:
    upload = begin(at, "key")
    etags = {n: add(at, "key", upload, n, b"%d" % n)["ETag"] for n in (1, 3, 5)}
    place = {"Bucket": at.bucket, "Key": "key", "UploadId": upload}
    for size in (1, 2, 100):
        pages = at.client.get_paginator("list_parts").paginate(**place, PaginationConfig={"PageSize": size})
        found = {part["PartNumber"]: part["ETag"] for page in pages for part in page.get("Parts", [])}
        assert found == etags, size


def check_list_uploads(at: Place) -> None:
    wanted = sorted((key, begin(at, key)) for key in ("a", "a", "b/ü", "c"))
    for size in (1, 3, 100):
        pages = at.client.get_paginator("list_multipart_uploads").paginate(
            Bucket=at.bucket, PaginationConfig={"PageSize": size}
        )
        found = [(one["Key"], one["UploadId"]) for page in pages for one in page.get("Uploads", [])]
        assert sorted(found) == wanted, size
    page = at.client.list_multipart_uploads(Bucket=at.bucket, Prefix="b/")
    assert [one["Key"] for one in page["Uploads"]] == ["b/ü"]


def check_copy_into_a_part(at: Place) -> None:
    at.put("source", PART + b"tail")
    upload = begin(at, "key")
    place = {"Bucket": at.bucket, "Key": "key", "UploadId": upload}
    source = {"Bucket": at.bucket, "Key": "source"}
    whole = at.client.upload_part_copy(**place, PartNumber=1, CopySource=source)
    span = f"bytes={len(PART)}-{len(PART) + 3}"
    tail = at.client.upload_part_copy(**place, PartNumber=2, CopySource=source, CopySourceRange=span)
    parts = [
        {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}
        for number, answer in ((1, whole), (2, tail))
    ]
    complete(at, "key", upload, parts)
    assert at.get("key") == PART + b"tail" + b"tail"


def check_wrong_part_checksum_at_completion(at: Place) -> None:
    upload = begin(at, "key", ChecksumAlgorithm="SHA256")
    answer = at.client.upload_part(
        Bucket=at.bucket, Key="key", UploadId=upload, PartNumber=1, Body=b"bytes", ChecksumAlgorithm="SHA256"
    )
    part = {
        "PartNumber": 1,
        "ETag": answer["ETag"],
        "ChecksumSHA256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    }
    with refused(400):
        complete(at, "key", upload, [part])
    assert at.keys() == []
