"""Making a bucket: one signed request, so that bringing a stack up loads no S3 client."""

import http.client
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys

from cutover.model.outputs import ObjectStore, S3Credentials
from infra.embedded.errors import ProcessFailed

ANSWER_SECONDS_MAX = 10.0
"""Longest wait for the store's answer (seconds)."""


def make_bucket(store: ObjectStore, pair: S3Credentials) -> None:
    """Make the bucket; one that is there already is fine. Raises ProcessFailed with the store's answer."""
    request = AWSRequest("PUT", f"{store.endpoint}/{store.bucket}", data=_location(store.region))
    S3SigV4Auth(Keys(pair.access_key, pair.secret_key.reveal()), "s3", store.region).add_auth(request)
    prepared = request.prepare()
    address = urlsplit(store.endpoint)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=ANSWER_SECONDS_MAX)
    try:
        connection.request("PUT", f"/{store.bucket}", prepared.body, dict(prepared.headers))
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    finally:
        connection.close()
    if answer.status != 200 and "BucketAlreadyOwnedByYou" not in text:
        raise ProcessFailed(
            f"{store.endpoint} answered {answer.status} to making bucket {store.bucket}: {text}"
        )


def _location(region: str) -> bytes:
    """Return what a store wants to be told, except in the region that is meant when nothing is said."""
    if region == "us-east-1":
        return b""
    return (
        '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
    ).encode()
