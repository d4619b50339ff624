"""The aws-chunked coding: chunks that may be signed, and headers that trail.

SIZE;chunk-signature=HEX CRLF  bytes  CRLF  ...  0;chunk-signature=HEX CRLF  [name:value CRLF ...]  CRLF
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

from infra.s3_server.errors import S3Error
from infra.s3_server.signature import Signed, chunk_signature, trailer_signature

LINE_BYTES_MAX: Final = 4096
"""Longest chunk header or trailer line (bytes); real ones are below 200."""


class ChunkedDecoder:
    """Takes an aws-chunked body in pieces of any size, gives back what it carries.

    With `signed` every chunk, and the trailer, must carry the right signature.
    The bytes of a chunk are given out before its signature is known, so the
    caller keeps nothing unless `finish` returns.
    """

    def __init__(self, signed: Signed | None, *, trailing: bool) -> None:
        self._signed = signed
        self._trailing = trailing
        self._waiting = bytearray()
        self._step: Callable[[bytearray], bool] = self._chunk_header
        self._left = 0
        self._previous = signed.signature if signed else ""
        self._claimed = ""
        self._digest = hashlib.sha256()
        self._trailers: dict[str, str] = {}
        self._ended = False

    def decode(self, piece: bytes) -> bytes:
        """Return the payload bytes that `piece` completes."""
        self._waiting += piece
        payload = bytearray()
        while self._step(payload):
            pass
        return bytes(payload)

    def finish(self) -> dict[str, str]:
        """Return the trailing headers; raise IncompleteBody when the end did not come."""
        if not self._ended or self._waiting:
            raise S3Error("IncompleteBody", "The chunked body did not end as it should.")
        return self._trailers

    def _line(self) -> bytes | None:
        end = self._waiting.find(b"\r\n")
        if end < 0:
            if len(self._waiting) > LINE_BYTES_MAX:
                raise S3Error("InvalidRequest", f"A chunk header is longer than {LINE_BYTES_MAX} bytes.")
            return None
        line = bytes(self._waiting[:end])
        del self._waiting[: end + 2]
        return line

    def _chunk_header(self, payload: bytearray) -> bool:
        line = self._line()
        if line is None:
            return False
        size, _, extension = line.decode("latin-1").partition(";")
        try:
            self._left = int(size, 16)
        except ValueError:
            raise S3Error("InvalidRequest", f"{size!r} is not the size of a chunk.") from None
        self._claimed = extension.partition("chunk-signature=")[2]
        self._digest = hashlib.sha256()
        if self._left:
            self._step = self._chunk_bytes
        else:
            self._check_chunk()
            self._step = self._trailer_line
        return True

    def _chunk_bytes(self, payload: bytearray) -> bool:
        taken = bytes(self._waiting[: self._left])
        del self._waiting[: len(taken)]
        self._left -= len(taken)
        payload += taken
        if self._signed:
            self._digest.update(taken)
        if self._left or len(self._waiting) < 2:
            return False
        if self._waiting[:2] != b"\r\n":
            raise S3Error("InvalidRequest", "A chunk is longer than its header says.")
        del self._waiting[:2]
        self._check_chunk()
        self._step = self._chunk_header
        return True

    def _check_chunk(self) -> None:
        if self._signed is None:
            return
        wanted = chunk_signature(self._signed, previous=self._previous, digest=self._digest.digest())
        self._compare(wanted, self._claimed)
        self._previous = wanted

    def _trailer_line(self, payload: bytearray) -> bool:
        line = self._line()
        if line is None:
            return False
        if line:
            name, _, value = line.decode("latin-1").partition(":")
            self._trailers[name.strip().lower()] = value.strip()
            return True
        self._check_trailer()
        self._ended = True
        self._step = self._nothing_more
        return True

    def _check_trailer(self) -> None:
        claimed = self._trailers.pop("x-amz-trailer-signature", "")
        if self._signed is None or not self._trailing:
            return
        block = "".join(f"{name}:{value}\n" for name, value in self._trailers.items())
        self._compare(
            trailer_signature(self._signed, previous=self._previous, trailer=block.encode()), claimed
        )

    def _compare(self, wanted: str, claimed: str) -> None:
        if not hmac.compare_digest(wanted.encode(), claimed.encode("latin-1")):
            raise S3Error("SignatureDoesNotMatch", "The signature of a chunk is not the one provided.")

    def _nothing_more(self, payload: bytearray) -> bool:
        if self._waiting:
            raise S3Error("InvalidRequest", "The request goes on after its last chunk.")
        return False
