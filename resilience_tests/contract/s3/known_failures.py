"""What servers other than ours are known to fail, and why.

Asserted both ways: a server that has learnt something fails the suite until its line is taken out.
"""

from collections.abc import Mapping
from typing import Final

_SIGNATURES = "moto checks no signatures"
_DIGESTS = "moto does not verify what is claimed of a body"
_PATHS = "keys are paths: d//x is taken for d/x, and bytes under a key that ends in / answer 400"
_BELOW = "a key and one below it (pa, pa/b) cannot both exist: ObjectParentIsFile"
_UNLOCKED = "conditions are checked apart from the write, so now and then two racers win"

MOTO: Final[Mapping[str, str]] = {
    "objects: every byte of a key is kept": "a key that begins with / is not found: 404 on put",
    "objects: key too long": "keys of any length are taken",
    "objects: metadata too large": "metadata of any size is taken",
    "objects: delete many quietly": "Quiet is passed over",
    "listings: version 1": "pages of version 1 repeat or drop entries",
    "listings: hostile prefixes": "a key that begins with / is not found: 404 on put",
    "conditions: delete many if match": "the ETag in a delete list is passed over: deletes all the same",
    "races: one of many copies": "If-None-Match on a copy is passed over: every racer wins",
    "multipart: wrong order is refused": "parts are taken in any order",
    "multipart: abort": "completing an aborted upload answers 500",
    "multipart: complete if match": "If-Match on a completion is passed over: overwrites",
    "multipart: list parts": "pages of parts repeat or drop entries",
    "multipart: wrong part checksum at completion": _DIGESTS,
    "copies: copy of hostile keys": "a key that begins with / is not found: 404 on put",
    "copies: copy if none match": "If-None-Match on a copy is passed over: overwrites",
    "copies: copy if match": "If-Match on a copy is passed over: overwrites",
    "copies: copy if the source is as seen": "x-amz-copy-source-if-* is passed over",
    "integrity: wrong content md5 is refused": _DIGESTS,
    "integrity: malformed content md5 is refused": _DIGESTS,
    "integrity: wrong content sha256 is refused": _DIGESTS,
    "integrity: wrong content sha256 of a large body is refused": _DIGESTS,
    "integrity: checksum headers": "a checksum header without the algorithm's name beside it is forgotten",
    "integrity: wrong checksum headers are refused": _DIGESTS,
    "integrity: crc32c": _DIGESTS,
    "integrity: crc64nvme": _DIGESTS,
    "integrity: wrong trailing checksums are refused": _DIGESTS,
    "integrity: truncated chunks are refused": "a truncated body answers 500",
    "integrity: a changed signed chunk is refused": _SIGNATURES,
    "integrity: wrong part digests are refused": _DIGESTS,
    "integrity: wrong digest of a delete list is refused": _DIGESTS,
    "integrity: malformed xml is refused": "a broken document answers 500",
    "integrity: boto3 checksums by name": _DIGESTS,
    "signatures: wrong secret is refused": _SIGNATURES,
    "signatures: unknown key is refused": _SIGNATURES,
    "signatures: anonymous is refused": _SIGNATURES,
    "signatures: clock skew is refused": _SIGNATURES,
    "signatures: presigned get": "a key that begins with / is not found: 404 on put",
    "signatures: presigned for another key is refused": _SIGNATURES,
    "signatures: presigned for another method is refused": _SIGNATURES,
    "signatures: presigned and expired is refused": _SIGNATURES,
    "signatures: a changed parameter is refused": _SIGNATURES,
    "buckets: bad names are refused": "an address as a name is taken",
}

MOTO_SOMETIMES: Final[Mapping[str, str]] = {
    "races: bytes and metadata never mix": "overwriting one key at once answers 500 now and then",
    "races: one of many creates": _UNLOCKED,
    "races: one of many replaces": _UNLOCKED,
    "races: one of many deletes": _UNLOCKED,
    "races: one of many completes": _UNLOCKED,
}
"""What depends on timing, and so can be asserted in neither direction; a failure is shown as xfail."""

VERSITYGW: Final[Mapping[str, str]] = {
    "objects: every byte of a key is kept": _PATHS,
    "objects: a key and a longer key below it": _BELOW,
    "objects: delete many": _PATHS,
    "objects: delete many quietly": "Quiet is passed over",
    "listings: order is by bytes": "a folder that a key made stays when its last key is deleted",
    "listings: prefix": _BELOW,
    "listings: delimiter": _BELOW,
    "listings: delimiter of several characters": _BELOW,
    "listings: pages": _BELOW,
    "listings: pages with a delimiter": _BELOW,
    "listings: start after": _BELOW,
    "listings: pages go on when the last key is deleted": _BELOW,
    "listings: version 1": _BELOW,
    "listings: hostile prefixes": _PATHS,
    "conditions: get if modified": "If-Modified-Since is passed over",
    "conditions: delete if match on a missing key": "a missing key is deleted all the same: 204",
    "conditions: delete many if match": "the ETag in a delete list is passed over: deletes all the same",
    "races: one of many deletes": "who comes after the winner is told 204 too, for a missing key",
    "races: one of many copies": "If-None-Match on a copy is passed over: every racer wins",
    "multipart: list uploads": "pages of uploads cannot be asked for",
    "copies: copy of hostile keys": _PATHS,
    "copies: copy if none match": "If-None-Match on a copy is passed over: overwrites",
    "copies: copy if match": "If-Match on a copy is passed over: overwrites",
    "copies: copy if the source is as seen": "answers 304, not 412, when the source is as it must not be",
    "integrity: transfer coding is not stored": "aws-chunked comes back as the object's own encoding",
    "integrity: malformed xml is refused": "a broken document is refused with another code",
    "signatures: presigned get": _PATHS,
}
