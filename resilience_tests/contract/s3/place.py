"""Where a capability is checked: one bucket of one server, and ways to reach it."""

import http.client
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

SECONDS_MAX = 20
"""Longest that any single call may take (seconds): far above what one needs, so only a hang meets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who asks which server."""

    endpoint: str
    access_key: str
    secret: str
    region: str = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back on the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One bucket of one server, seen by one account."""

    account: Account
    client: Any
    bucket: str

    def put(self, key: str, body: bytes = b"bytes", **arguments: Any) -> str:
        """Put an object; return its ETag."""
        etag: str = self.client.put_object(Bucket=self.bucket, Key=key, Body=body, **arguments)["ETag"]
        return etag

    def get(self, key: str, **arguments: Any) -> bytes:
        body: bytes = self.client.get_object(Bucket=self.bucket, Key=key, **arguments)["Body"].read()
        return body

    def head(self, key: str, **arguments: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.client.head_object(Bucket=self.bucket, Key=key, **arguments)
        return found

    def keys(self, **arguments: Any) -> list[str]:
        """Return all keys in the bucket, page by page, as listed."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, **arguments)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]


def connect(account: Account) -> Any:
    """Return a boto3 client that tries once, so that what the server does is what is seen."""
    return boto3.client(
        "s3",
        endpoint_url=account.endpoint,
        aws_access_key_id=account.access_key,
        aws_secret_access_key=account.secret,
        region_name=account.region,
        config=Config(
            retries={"total_max_attempts": 1},
            connect_timeout=SECONDS_MAX,
            read_timeout=SECONDS_MAX,
            max_pool_connections=32,
            signature_version="s3v4",
            s3={"addressing_style": "path"},
        ),
    )


@contextmanager
def connected(account: Account) -> Iterator[Any]:
    client = connect(account)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def as_account(at: Place, **changes: str) -> Iterator[Place]:
    """Give the same place as another account sees it."""
    account = replace(at.account, **changes)
    with connected(account) as client:
        yield Place(account=account, client=client, bucket=at.bucket)


@contextmanager
def fresh_place(account: Account, client: Any) -> Iterator[Place]:
    """Give a bucket of its own, and take it away with all that is in it."""
    at = Place(account=account, client=client, bucket=f"contract-{secrets.token_hex(6)}")
    client.create_bucket(Bucket=at.bucket)
    try:
        yield at
    finally:
        _remove_bucket(at)


def _remove_bucket(at: Place) -> None:
    for upload in at.client.list_multipart_uploads(Bucket=at.bucket).get("Uploads", []):
        at.client.abort_multipart_upload(Bucket=at.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in at.client.get_paginator("list_objects_v2").paginate(Bucket=at.bucket):
        for one in page.get("Contents", []):
            at.client.delete_object(Bucket=at.bucket, Key=one["Key"])
    at.client.delete_bucket(Bucket=at.bucket)


@contextmanager
def refused(status: int, code: str | None = None) -> Iterator[None]:
    """Expect the server to refuse with `status`, and with `code` where an answer has one."""
    try:
        yield
    except ClientError as error:
        got = error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
        assert got[0] == status, f"refused with {got}, expected {status} {code}"
        assert code is None or got[1] == code, f"refused with {got}, expected {status} {code}"
    else:
        raise AssertionError(f"was accepted, expected {status} {code}")


def status_of(action: Any) -> int:
    """Return the HTTP status of a boto3 call, refused or not."""
    try:
        status: int = action()["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status


class _Signer(S3SigV4Auth):  # type: ignore[misc]
    """Signs with the payload digest that it is given, whatever the body is."""

    def __init__(self, claimed: str, account: Account) -> None:
        super().__init__(Credentials(account.access_key, account.secret), "s3", account.region)
        self._claimed = claimed

    def payload(self, request: AWSRequest) -> str:
        return self._claimed


def sign(at: Place, method: str, key: str, headers: Mapping[str, str]) -> AWSRequest:
    """Return a signed request for `key`; `headers` name x-amz-content-sha256."""
    request = AWSRequest(
        method=method, url=f"{at.account.endpoint}/{at.bucket}/{key}", headers=dict(headers), data=b""
    )
    _Signer(headers["x-amz-content-sha256"], at.account).add_auth(request)
    return request


def send(at: Place, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
    """Send one request as it stands, and read the whole answer."""
    parts = urlsplit(at.account.endpoint)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=SECONDS_MAX)
    try:
        connection.request(method, target, body=body, headers=dict(headers))
        response = connection.getresponse()
        return Answer(
            status=response.status,
            headers={name.lower(): value for name, value in response.getheaders()},
            body=response.read(),
        )
    finally:
        connection.close()


def send_signed(at: Place, method: str, key: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
    """Sign for `key` (which needs no encoding) and send `body` whatever was claimed of it."""
    request = sign(at, method, key, headers)
    return send(at, method, f"/{at.bucket}/{key}", dict(request.headers.items()), body)
