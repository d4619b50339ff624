"""Requests signed by botocore, without its client around them.

Measured on 2 cores: signing alone costs 0.06 ms, a whole call 0.3-0.4 ms with
aiohttp and 1.2-1.4 ms with boto3. obstore (0.16 ms) silently drops `Expires`,
cannot read an object whose metadata is not ASCII, and cannot carry every key.
"""

from collections.abc import Mapping
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from cutover.adapters.s3.address import S3Address

UNRESERVED = "-._~"


class _Auth(S3SigV4Auth):  # type: ignore[misc]
    """Takes the body's digest from the request, so that a large body is not read twice."""

    def payload(self, request: AWSRequest) -> str:
        return str(request.context["sha256"])

    def _header_value(self, value: str) -> str:
        """Fold runs of spaces, and nothing else: botocore folds every blank of Unicode, servers do not."""
        return " ".join(part for part in value.split(" ") if part)


class Signer:
    """Signs requests to one server."""

    def __init__(self, address: S3Address) -> None:
        credentials = Credentials(address.access_key, address.secret_key.reveal())
        self._auth = _Auth(credentials, "s3", address.region)
        self._endpoint = address.endpoint.rstrip("/")

    def url(self, bucket: str, key: str | None, query: Mapping[str, str]) -> str:
        """The address of a key, encoded once and in no way normalised; None: of the bucket."""
        path = _encoded(bucket) if key is None else f"{_encoded(bucket)}/{_encoded(key, also='/')}"
        pairs = sorted(f"{_encoded(name)}={_encoded(value)}" for name, value in query.items())
        return f"{self._endpoint}/{path}" + ("?" + "&".join(pairs) if query else "")

    def sign(self, method: str, url: str, headers: Mapping[str, str], *, sha256: str) -> dict[str, str]:
        """All headers to send for a body with this digest (hex)."""
        request = AWSRequest(method=method, url=url, headers=dict(headers))
        request.context["sha256"] = sha256
        self._auth.add_auth(request)
        return dict(request.headers.items())


def _encoded(text: str, *, also: str = "") -> str:
    return quote(text, safe=UNRESERVED + also)
