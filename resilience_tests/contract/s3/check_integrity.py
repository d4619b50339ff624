"""What is claimed of a body is verified, and a body that differs leaves nothing behind."""

import base64
import hashlib
import os
import zlib
from collections.abc import Callable
from typing import Any

from resilience_tests.contract.s3.chunks import chunked, signed_chunks
from resilience_tests.contract.s3.place import Place, refused, send_signed

BODY = os.urandom(10_000)
OTHER = b"other bytes"
CRC32C_OF_DIGITS = "4waSgw=="
CRC64NVME_OF_DIGITS = "rosUhgp5mIg="
"""Check values of the catalogues of CRC algorithms: over the ASCII digits 1 to 9."""


def b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


CHECKSUMS: dict[str, Callable[[bytes], str]] = {
    "crc32": lambda body: b64(zlib.crc32(body).to_bytes(4, "big")),
    "sha1": lambda body: b64(hashlib.sha1(body).digest()),
    "sha256": lambda body: b64(hashlib.sha256(body).digest()),
}


def put_raw(at: Place, key: str, body: bytes, headers: dict[str, str]) -> Any:
    """Put `body` with `headers` as they are; x-amz-content-sha256 is the body's unless given."""
    claimed = {"x-amz-content-sha256": hashlib.sha256(body).hexdigest()} | headers
    return send_signed(at, "PUT", key, claimed, body)


def assert_refused(at: Place, answer: Any, *codes: str) -> None:
    assert answer.status == 400, (answer.status, answer.body)
    assert any(f"<Code>{code}</Code>".encode() in answer.body for code in codes), answer.body
    assert at.keys() == []


def check_content_md5(at: Place) -> None:
    assert put_raw(at, "key", BODY, {"content-md5": b64(hashlib.md5(BODY).digest())}).status == 200
    assert at.get("key") == BODY


def check_wrong_content_md5_is_refused(at: Place) -> None:
    answer = put_raw(at, "key", BODY, {"content-md5": b64(hashlib.md5(OTHER).digest())})
    assert_refused(at, answer, "BadDigest")


def check_malformed_content_md5_is_refused(at: Place) -> None:
    assert_refused(at, put_raw(at, "key", BODY, {"content-md5": "not base64"}), "InvalidDigest")


def check_wrong_content_sha256_is_refused(at: Place) -> None:
    answer = put_raw(at, "key", BODY, {"x-amz-content-sha256": hashlib.sha256(OTHER).hexdigest()})
    assert_refused(at, answer, "XAmzContentSHA256Mismatch", "BadDigest")


def check_wrong_content_sha256_of_a_large_body_is_refused(at: Place) -> None:
    answer = put_raw(at, "key", BODY * 100, {"x-amz-content-sha256": hashlib.sha256(OTHER).hexdigest()})
    assert_refused(at, answer, "XAmzContentSHA256Mismatch", "BadDigest")


def check_checksum_headers(at: Place) -> None:
    for name, checksum in CHECKSUMS.items():
        assert put_raw(at, name, BODY, {f"x-amz-checksum-{name}": checksum(BODY)}).status == 200, name
        found = at.head(name, ChecksumMode="ENABLED")
        assert found[f"Checksum{name.upper()}"] == checksum(BODY), name


def check_wrong_checksum_headers_are_refused(at: Place) -> None:
    for name, checksum in CHECKSUMS.items():
        answer = put_raw(at, "key", BODY, {f"x-amz-checksum-{name}": checksum(OTHER)})
        assert_refused(at, answer, "BadDigest", "InvalidRequest")


def check_crc32c(at: Place) -> None:
    assert put_raw(at, "key", b"123456789", {"x-amz-checksum-crc32c": CRC32C_OF_DIGITS}).status == 200
    assert put_raw(at, "key", b"123456780", {"x-amz-checksum-crc32c": CRC32C_OF_DIGITS}).status == 400
    assert at.get("key") == b"123456789"


def check_crc64nvme(at: Place) -> None:
    assert put_raw(at, "key", b"123456789", {"x-amz-checksum-crc64nvme": CRC64NVME_OF_DIGITS}).status == 200
    assert put_raw(at, "key", b"123456780", {"x-amz-checksum-crc64nvme": CRC64NVME_OF_DIGITS}).status == 400
    assert at.get("key") == b"123456789"


def check_trailing_checksums(at: Place) -> None:
    for name, checksum in CHECKSUMS.items():
        for body in (b"", BODY, BODY * 100):
            assert put_trailing(at, name, body, f"x-amz-checksum-{name}", checksum(body)).status == 200, name
            assert at.get(name) == body


def check_wrong_trailing_checksums_are_refused(at: Place) -> None:
    for name, checksum in CHECKSUMS.items():
        answer = put_trailing(at, "key", BODY, f"x-amz-checksum-{name}", checksum(OTHER))
        assert_refused(at, answer, "BadDigest", "InvalidRequest")


def put_trailing(at: Place, key: str, body: bytes, trailer: str, value: str) -> Any:
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": str(len(body)),
        "x-amz-trailer": trailer,
    }
    return send_signed(at, "PUT", key, headers, chunked(body, {trailer: value}))


def check_transfer_coding_is_not_stored(at: Place) -> None:
    put_trailing(at, "key", BODY, "x-amz-checksum-crc32", CHECKSUMS["crc32"](BODY))
    assert "ContentEncoding" not in at.head("key")


def check_truncated_chunks_are_refused(at: Place) -> None:
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": str(len(BODY)),
        "x-amz-trailer": "x-amz-checksum-crc32",
    }
    whole = chunked(BODY, {"x-amz-checksum-crc32": CHECKSUMS["crc32"](BODY)})
    answer = send_signed(at, "PUT", "key", headers, whole[: len(whole) // 2])
    assert answer.status == 400, answer.body
    assert at.keys() == []


def check_signed_chunks(at: Place) -> None:
    for body in (b"", BODY, BODY * 100):
        assert signed_chunks(at, "key", body).status == 200
        assert at.get("key") == body


def check_a_changed_signed_chunk_is_refused(at: Place) -> None:
    answer = signed_chunks(at, "key", BODY, spoil=True)
    assert answer.status == 403, answer.body
    assert b"<Code>SignatureDoesNotMatch</Code>" in answer.body
    assert at.keys() == []


def check_signed_chunks_with_a_trailer(at: Place) -> None:
    trailer = {"x-amz-checksum-crc32": CHECKSUMS["crc32"](BODY)}
    assert signed_chunks(at, "key", BODY, trailer=trailer).status == 200
    assert at.get("key") == BODY


def check_wrong_part_digests_are_refused(at: Place) -> None:
    upload = at.client.create_multipart_upload(Bucket=at.bucket, Key="key")["UploadId"]
    answer = put_raw(
        at, f"key?partNumber=1&uploadId={upload}", BODY, {"content-md5": b64(hashlib.md5(OTHER).digest())}
    )
    assert answer.status == 400, answer.body
    assert b"<Code>BadDigest</Code>" in answer.body
    assert at.client.list_parts(Bucket=at.bucket, Key="key", UploadId=upload).get("Parts") is None


def check_wrong_digest_of_a_delete_list_is_refused(at: Place) -> None:
    at.put("kept")
    document = b"<Delete><Object><Key>kept</Key></Object></Delete>"
    headers = {
        "x-amz-content-sha256": hashlib.sha256(document).hexdigest(),
        "content-md5": b64(hashlib.md5(OTHER).digest()),
    }
    answer = send_signed(at, "POST", "?delete", headers, document)
    assert answer.status == 400, answer.body
    assert at.keys() == ["kept"]


def check_malformed_xml_is_refused(at: Place) -> None:
    document = b"<Delete><Object>"
    headers = {
        "x-amz-content-sha256": hashlib.sha256(document).hexdigest(),
        "content-md5": b64(hashlib.md5(document).digest()),
    }
    answer = send_signed(at, "POST", "?delete", headers, document)
    assert answer.status == 400, answer.body
    assert b"<Code>MalformedXML</Code>" in answer.body


def check_boto3_checksums_by_name(at: Place) -> None:
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        at.put(algorithm, BODY, ChecksumAlgorithm=algorithm)
        assert at.get(algorithm, ChecksumMode="ENABLED") == BODY
    with refused(400):
        at.put("wrong", BODY, ChecksumSHA256=CHECKSUMS["sha256"](OTHER))
