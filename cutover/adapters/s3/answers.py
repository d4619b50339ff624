"""What a server's answer means."""

from dataclasses import dataclass
from xml.etree import ElementTree

from cutover.adapters.s3.address import S3Address
from cutover.errors import ObjectRefused, Refused

SLOW = (429, 500, 502, 503, 504)
"""Statuses after which the same request may be sent again."""

BROKEN = (500, 502, 504)
"""Of these, the ones after which a write may still have been carried out."""

HINTS = {
    "InvalidAccessKeyId": "the server does not know this access key",
    "SignatureDoesNotMatch": "the secret key or the region does not fit",
    "RequestTimeTooSkewed": "this machine's clock and the server's are too far apart",
    "AccessDenied": "this key pair may not do this in this bucket",
    "NoSuchBucket": "there is no such bucket",
}

ABOUT_ONE_OBJECT = {
    "EntityTooLarge": "it is larger than the store takes",
    "InvalidObjectState": "it is archived: have the store restore it",
    "KeyTooLongError": "its key is longer than the store takes",
    "MetadataTooLarge": "its metadata is larger than the store takes",
    "RequestHeaderSectionTooLarge": "its metadata is larger than the store takes",
}
"""Codes that concern this object only: others are neither missing nor refused for it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and the whole body (of a small answer)."""

    status: int
    headers: dict[str, str]  #: names in lower case
    body: bytes

    @property
    def tag(self) -> str:
        """The entity tag as the server wrote it, quotes and all."""
        return self.headers.get("etag", "")

    @property
    def code(self) -> str:
        """The error code in the body; empty where there is none."""
        return self.element("Code")

    def element(self, name: str) -> str:
        """The text of the first XML element of that name, in any namespace; else empty."""
        try:
            root = ElementTree.fromstring(self.body)
        except ElementTree.ParseError:
            return ""
        found = (node.text for node in root.iter() if node.tag.rpartition("}")[2] == name)
        return next(found, None) or ""


def refusal(address: S3Address, bucket: str, answer: Answer, what: str) -> Refused:
    """The error for an answer that says no, whatever is tried again."""
    where = f"{address.endpoint}, bucket {bucket!r}, refused to {what}"
    one = ABOUT_ONE_OBJECT.get(answer.code)
    if one is not None:
        return ObjectRefused(f"{where}: status {answer.status} {answer.code}: {one}. Nothing was changed.")
    location = answer.headers.get("location", "") if 300 <= answer.status < 400 else ""
    elsewhere = location.partition("?")[0]
    otherwise = f"it points to {elsewhere}" if elsewhere else "the server gives no other reason"
    hint = HINTS.get(answer.code, otherwise)
    return Refused(
        f"{where}: status {answer.status} {answer.code or '(no code)'}: {hint}. Nothing was changed. Check "
        f"endpoint, bucket, region and the access key {address.access_key[:4]}... in the credentials file."
    )
