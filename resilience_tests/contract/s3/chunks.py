"""aws-chunked bodies, made by hand, so that a server's decoder is judged by other code than its own."""

import hashlib
import hmac
from collections.abc import Iterator, Mapping

from resilience_tests.contract.s3.place import Account, Answer, Place, send, sign

CHUNK_BYTES = 8192
EMPTY = hashlib.sha256(b"").hexdigest()


def split(body: bytes) -> Iterator[bytes]:
    """Yield the chunks of a body, and the empty one that ends it."""
    for start in range(0, len(body), CHUNK_BYTES):
        yield body[start : start + CHUNK_BYTES]
    yield b""


def chunked(body: bytes, trailer: Mapping[str, str]) -> bytes:
    """Return an unsigned aws-chunked body with trailing headers."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in split(body) if chunk)
    lines = b"".join(f"{name}:{value}\r\n".encode() for name, value in trailer.items())
    return chunks + b"0\r\n" + lines + b"\r\n"


def signed_chunks(
    at: Place, key: str, body: bytes, *, trailer: Mapping[str, str] | None = None, spoil: bool = False
) -> Answer:
    """Put `body` in signed chunks; with `spoil` one byte is changed after signing."""
    kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("-TRAILER" if trailer else "")
    headers = {
        "x-amz-content-sha256": kind,
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": str(len(body)),
    }
    if trailer:
        headers["x-amz-trailer"] = ",".join(trailer)
    request = sign(at, "PUT", key, headers)
    signed = _signed_body(at.account, request.headers, body, trailer or {})
    if spoil:
        middle = len(signed) // 2
        signed = signed[:middle] + bytes([signed[middle] ^ 1]) + signed[middle + 1 :]
    return send(at, "PUT", f"/{at.bucket}/{key}", dict(request.headers.items()), signed)


def _signed_body(
    account: Account, headers: Mapping[str, str], body: bytes, trailer: Mapping[str, str]
) -> bytes:
    moment = headers["x-amz-date"]
    scope = f"{moment[:8]}/{account.region}/s3/aws4_request"
    signature = headers["authorization"].partition("Signature=")[2]
    whole = b""
    for chunk in split(body):
        digest = hashlib.sha256(chunk).hexdigest()
        signature = _sign(account, ["AWS4-HMAC-SHA256-PAYLOAD", moment, scope, signature, EMPTY, digest])
        whole += b"%x;chunk-signature=%s\r\n" % (len(chunk), signature.encode())
        whole += chunk + b"\r\n" if chunk else b""
    if trailer:
        block = "".join(f"{name}:{value}\n" for name, value in trailer.items()).encode()
        digest = hashlib.sha256(block).hexdigest()
        signature = _sign(account, ["AWS4-HMAC-SHA256-TRAILER", moment, scope, signature, digest])
        whole += block.replace(b"\n", b"\r\n") + f"x-amz-trailer-signature:{signature}\r\n".encode()
    return whole + b"\r\n"


def _sign(account: Account, lines: list[str]) -> str:
    date, region = lines[2].split("/")[:2]
    key = f"AWS4{account.secret}".encode()
    for part in (date, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, "\n".join(lines).encode(), "sha256").hex()
