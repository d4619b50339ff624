"""Signature version 4: who sent a request, and whether it arrived as it was signed.

Verified in the Authorization header, in a presigned query, and for each chunk
of a signed stream. The algorithm is the one that AWS publishes; S3's variant
encodes the path once and takes the payload's digest from a header.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from infra.s3_server.errors import S3Error
from infra.s3_server.request import Request, percent

ALGORITHM: Final = "AWS4-HMAC-SHA256"
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()

SKEW_SECONDS_MAX: Final = 900
"""Largest distance between the signer's clock and ours (seconds), as S3 documents it."""

EXPIRES_SECONDS_MAX: Final = 604_800
"""Longest life of a presigned address (seconds): one week, as S3 documents it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What a verified request leaves for its chunks to be checked against."""

    access_key: str
    signing_key: bytes
    timestamp: str
    scope: str
    signature: str
    content_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """What the request says about its own signature."""

    access_key: str
    scope: tuple[str, str, str, str]
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    content_sha256: str
    presigned: bool


def verify(request: Request, *, credentials: Mapping[str, str], region: str, now: float) -> Signed:
    """Return who signed `request`; `now` is in seconds since the epoch.

    Raises S3Error: AccessDenied without a signature, InvalidAccessKeyId,
    SignatureDoesNotMatch, RequestTimeTooSkewed, or a malformed claim.
    """
    claim = _claim(request)
    secret = credentials.get(claim.access_key)
    if secret is None:
        raise S3Error("InvalidAccessKeyId", f"The access key {claim.access_key!r} is not known here.")
    _check_scope(claim, region)
    _check_time(request, claim, now)
    _check_coverage(request, claim)
    signing_key = _signing_key(secret, *claim.scope[:3])
    if not any(
        hmac.compare_digest(
            _signature(request, claim, signing_key, collapse=collapse), claim.signature.encode()
        )
        for collapse in (True, False)
    ):
        raise S3Error(
            "SignatureDoesNotMatch",
            "The signature we calculated is not the one provided. Check the secret and the signing method.",
        )
    return Signed(
        access_key=claim.access_key,
        signing_key=signing_key,
        timestamp=claim.timestamp,
        scope="/".join(claim.scope),
        signature=claim.signature,
        content_sha256=claim.content_sha256,
    )


def chunk_signature(signed: Signed, *, previous: str, digest: bytes) -> str:
    """Return the signature that a chunk with SHA-256 `digest` must carry after `previous`."""
    return _chain(signed, "AWS4-HMAC-SHA256-PAYLOAD", previous, f"{EMPTY_SHA256}\n{digest.hex()}")


def trailer_signature(signed: Signed, *, previous: str, trailer: bytes) -> str:
    """Return the signature that the trailing headers must carry after the last chunk's."""
    return _chain(signed, "AWS4-HMAC-SHA256-TRAILER", previous, hashlib.sha256(trailer).hexdigest())


def _chain(signed: Signed, kind: str, previous: str, rest: str) -> str:
    message = "\n".join((kind, signed.timestamp, signed.scope, previous, rest))
    return hmac.digest(signed.signing_key, message.encode(), "sha256").hex()


def _claim(request: Request) -> _Claim:
    if "authorization" in request.headers:
        return _header_claim(request)
    if "X-Amz-Signature" in request.query:
        return _query_claim(request)
    if "Signature" in request.query:
        raise S3Error("InvalidRequest", f"Only {ALGORITHM} is supported; sign with signature version 4.")
    raise S3Error("AccessDenied", "Anonymous requests are refused: sign the request.")


def _header_claim(request: Request) -> _Claim:
    algorithm, _, rest = request.headers["authorization"].partition(" ")
    if algorithm != ALGORITHM:
        raise S3Error("InvalidRequest", f"Only {ALGORITHM} is supported, not {algorithm!r}.")
    fields = dict(_pair(field) for field in rest.split(","))
    content_sha256 = request.headers.get("x-amz-content-sha256")
    if content_sha256 is None:
        raise S3Error("InvalidRequest", "The header x-amz-content-sha256 is missing.")
    try:
        return _Claim(
            access_key=fields["Credential"].partition("/")[0],
            scope=_scope(fields["Credential"], "AuthorizationHeaderMalformed"),
            signed_headers=tuple(fields["SignedHeaders"].split(";")),
            signature=fields["Signature"],
            timestamp=request.headers.get("x-amz-date", ""),
            content_sha256=content_sha256,
            presigned=False,
        )
    except KeyError as missing:
        raise S3Error("AuthorizationHeaderMalformed", f"The Authorization header lacks {missing}.") from None


def _query_claim(request: Request) -> _Claim:
    query = request.query
    if query.get("X-Amz-Algorithm") != ALGORITHM:
        raise S3Error("AuthorizationQueryParametersError", f"X-Amz-Algorithm must be {ALGORITHM}.")
    try:
        return _Claim(
            access_key=query["X-Amz-Credential"].partition("/")[0],
            scope=_scope(query["X-Amz-Credential"], "AuthorizationQueryParametersError"),
            signed_headers=tuple(query["X-Amz-SignedHeaders"].split(";")),
            signature=query["X-Amz-Signature"],
            timestamp=query["X-Amz-Date"],
            content_sha256=request.headers.get("x-amz-content-sha256", UNSIGNED),
            presigned=True,
        )
    except KeyError as missing:
        raise S3Error("AuthorizationQueryParametersError", f"The query lacks {missing}.") from None


def _pair(field: str) -> tuple[str, str]:
    name, _, value = field.strip().partition("=")
    return name, value


def _scope(credential: str, code: str) -> tuple[str, str, str, str]:
    fields = credential.split("/")
    if len(fields) != 5:
        raise S3Error(code, f"The credential must be KEY/DATE/REGION/s3/aws4_request, not {credential!r}.")
    return fields[1], fields[2], fields[3], fields[4]


def _check_scope(claim: _Claim, region: str) -> None:
    code = "AuthorizationQueryParametersError" if claim.presigned else "AuthorizationHeaderMalformed"
    date, signed_region, service, terminator = claim.scope
    if signed_region != region:
        raise S3Error(code, f"The region {signed_region!r} is wrong; expecting {region!r}.")
    if (service, terminator) != ("s3", "aws4_request") or date != claim.timestamp[:8]:
        raise S3Error(code, f"The credential's scope {'/'.join(claim.scope)!r} does not fit the request.")


def _check_time(request: Request, claim: _Claim, now: float) -> None:
    try:
        signed_at = datetime.strptime(claim.timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise S3Error(
            "AccessDenied", f"The signing time {claim.timestamp!r} is not YYYYMMDDTHHMMSSZ."
        ) from None
    if signed_at - now > SKEW_SECONDS_MAX or (not claim.presigned and now - signed_at > SKEW_SECONDS_MAX):
        raise S3Error(
            "RequestTimeTooSkewed", f"The request's clock and ours are more than {SKEW_SECONDS_MAX} s apart."
        )
    if claim.presigned and now > signed_at + _expires(request):
        raise S3Error("AccessDenied", "Request has expired.")


def _expires(request: Request) -> int:
    value = request.query.get("X-Amz-Expires", "")
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= EXPIRES_SECONDS_MAX):
        raise S3Error(
            "AuthorizationQueryParametersError",
            f"X-Amz-Expires must be 1 to {EXPIRES_SECONDS_MAX} s, not {value!r}.",
        )
    return int(value)


def _check_coverage(request: Request, claim: _Claim) -> None:
    """Refuse headers that change what a request means and are not signed."""
    loose = [
        name
        for name in request.headers
        if (name == "host" or name.startswith("x-amz-")) and name not in claim.signed_headers
    ]
    if loose:
        raise S3Error(
            "AccessDenied", f"These headers must be signed and are not: {', '.join(sorted(loose))}."
        )


def _signature(request: Request, claim: _Claim, signing_key: bytes, *, collapse: bool) -> bytes:
    canonical = _canonical(request, claim, collapse=collapse)
    message = "\n".join(
        (ALGORITHM, claim.timestamp, "/".join(claim.scope), hashlib.sha256(canonical).hexdigest())
    )
    return hmac.digest(signing_key, message.encode(), "sha256").hex().encode()


def _canonical(request: Request, claim: _Claim, *, collapse: bool) -> bytes:
    """Return the canonical request.

    Signers differ on runs of blanks inside a value: some collapse them, some
    only trim. Both say the same to us, so both are tried.
    """
    lines = [
        request.method.encode(),
        percent(unquote_to_bytes(request.raw_path), safe="/").encode(),
        _canonical_query(request).encode(),
    ]
    for name in claim.signed_headers:
        value = request.headers.get(name, "").encode("latin-1")
        lines.append(name.encode() + b":" + (b" ".join(value.split()) if collapse else value.strip()))
    lines += [b"", ";".join(claim.signed_headers).encode(), claim.content_sha256.encode("latin-1")]
    return b"\n".join(lines)


def _canonical_query(request: Request) -> str:
    pairs = [
        (percent(name), percent(value)) for name, value in request.parameters if name != "X-Amz-Signature"
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


@lru_cache(maxsize=256)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = hmac.digest(f"AWS4{secret}".encode(), date.encode(), "sha256")
    for part in (region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
