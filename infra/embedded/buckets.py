"""Making a bucket, and emptying and removing one: signed requests, so that no S3 client is loaded."""

import http.client
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote, unquote_plus, urlsplit
from xml.etree import ElementTree

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys

from cutover.model.outputs import ObjectStore, S3Credentials
from infra.embedded.errors import ProcessFailed

ANSWER_SECONDS_MAX = 10.0
"""Longest wait for the store's answer (seconds)."""

PAGE = 1000  #: keys in a listing; no server gives more
HANDS = 8  #: requests at once while a bucket is emptied

LOOKS_MAX = 5
"""How often a bucket may be found filled again: what was under way when its sender died comes late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a store said."""

    status: int
    text: str

    @property
    def code(self) -> str:
        """Return S3's own word for what is wrong; empty where it says none."""
        return _tagged(self.text, "Code")

    @property
    def told(self) -> str:
        """Return what a person needs to hear of it: the status, S3's code and its sentence."""
        return " ".join(part for part in (str(self.status), self.code, _tagged(self.text, "Message")) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A server, and who asks there."""

    endpoint: str
    region: str
    pair: S3Credentials

    @contextmanager
    def opened(self) -> Iterator["Asking"]:
        """Use one connection for several requests."""
        asking = Asking(self)
        try:
            yield asking
        finally:
            asking.connection.close()

    def ask(self, method: str, path: str, query: str = "", body: bytes = b"") -> Answer:
        """Ask once. Raises OSError or HTTPException where nobody answers."""
        with self.opened() as asking:
            return asking.ask(method, path, query, body)


class Asking:
    """One connection to a server."""

    def __init__(self, door: Door) -> None:
        self._door = door
        address = urlsplit(door.endpoint)
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(address.hostname or "", address.port, timeout=ANSWER_SECONDS_MAX)

    def ask(self, method: str, path: str, query: str = "", body: bytes = b"") -> Answer:
        """Ask; `path` and `query` are as they go over the wire."""
        target = f"{path}?{query}" if query else path
        pair = self._door.pair
        request = AWSRequest(method, f"{self._door.endpoint}{target}", data=body)
        S3SigV4Auth(Keys(pair.access_key, pair.secret_key.reveal()), "s3", self._door.region).add_auth(
            request
        )
        prepared = request.prepare()
        self.connection.request(method, target, prepared.body, dict(prepared.headers))
        answer = self.connection.getresponse()
        return Answer(status=answer.status, text=answer.read().decode(errors="replace"))


def make_bucket(store: ObjectStore, pair: S3Credentials) -> None:
    """Make the bucket; one that is there already is fine. Raises ProcessFailed with the store's answer."""
    door = Door(endpoint=store.endpoint, region=store.region, pair=pair)
    answer = door.ask("PUT", f"/{store.bucket}", body=location(store.region))
    if answer.status != 200 and answer.code != "BucketAlreadyOwnedByYou":
        raise ProcessFailed(
            f"{store.endpoint} answered {answer.status} to making bucket {store.bucket}: {answer.text}"
        )


def location(region: str) -> bytes:
    """Return what a store wants to be told, except in the region that is meant when nothing is said."""
    if region == "us-east-1":
        return b""
    return (
        '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
    ).encode()


def drop(store: ObjectStore, pair: S3Credentials, prefix: str | None) -> None:
    """Remove a bucket; or, of one that others use too, what lies under a prefix. Raises ProcessFailed."""
    door = Door(endpoint=store.endpoint, region=store.region, pair=pair)
    try:
        if prefix is None:
            remove_bucket(door, store.bucket)
        else:
            _empty(door, store.bucket, prefix)
    except (OSError, http.client.HTTPException) as error:
        raise ProcessFailed(f"bucket {store.bucket} at {store.endpoint} was not removed: {error}") from None


def remove_bucket(door: Door, bucket: str) -> None:
    """Empty a bucket and remove it; one that is gone is fine.

    Raises ProcessFailed with the server's answer, OSError or HTTPException where nobody answers.
    """
    said = ""
    for _ in range(LOOKS_MAX):
        if not _empty(door, bucket):
            return
        answer = door.ask("DELETE", f"/{bucket}")
        if answer.status in (200, 204) or answer.code == "NoSuchBucket":
            return
        said = answer.told
        if answer.code != "BucketNotEmpty":
            break
    raise ProcessFailed(f"{door.endpoint} answered {said} to removing bucket {bucket}")


def _empty(door: Door, bucket: str, prefix: str = "") -> bool:
    """Delete every object and upload under a prefix; return whether the bucket is there."""
    before: list[str] = []
    with ThreadPoolExecutor(HANDS) as pool:
        while True:
            keys = _objects(door, bucket, prefix)
            if keys and keys == before and prefix:
                raise ProcessFailed(f"{door.endpoint} keeps what it was told to delete under {prefix}")
            if not keys or keys == before:  # or they do not go: removing the bucket says why
                break
            list(pool.map(lambda some: _delete(door, bucket, some), (keys[n::HANDS] for n in range(HANDS))))
            before = keys
    if keys is None:
        return False
    answer = door.ask("GET", f"/{bucket}", f"{_under(prefix)}uploads=")
    if answer.status == 200:  # a server that cannot list them, as some cannot, has none or needs none gone
        _delete(door, bucket, [f"{key}?uploadId={quote(id_, safe='')}" for key, id_ in _uploads(answer.text)])
    return True


def _objects(door: Door, bucket: str, prefix: str) -> list[str] | None:
    """Return some keys under a prefix, quoted; None when there is no such bucket."""
    query = f"encoding-type=url&list-type=2&max-keys={PAGE}&{_under(prefix)}"
    answer = door.ask("GET", f"/{bucket}", query.removesuffix("&"))
    if answer.code == "NoSuchBucket":
        return None
    if answer.status != 200:
        raise ProcessFailed(f"{door.endpoint} answered {answer.told} to listing bucket {bucket}")
    return [_quoted(answer.text, key) for key in _texts(answer.text, "Contents", "Key")]


def _under(prefix: str) -> str:
    return f"prefix={quote(prefix, safe='')}&" if prefix else ""


def _uploads(text: str) -> list[tuple[str, str]]:
    keys = (_quoted(text, key) for key in _texts(text, "Upload", "Key"))
    return list(zip(keys, _texts(text, "Upload", "UploadId"), strict=True))


def _delete(door: Door, bucket: str, names: list[str]) -> None:
    with door.opened() as asking:
        for name in names:
            key, _, query = name.partition("?")
            asking.ask("DELETE", f"/{bucket}/{key}", query)


def _quoted(text: str, key: str) -> str:
    """Return a listed key as it stands in a path; not every server takes the wish for encoded keys."""
    plain = unquote_plus(key) if _tagged(text, "EncodingType") == "url" else key
    return quote(plain, safe="/-_.~")


def _texts(text: str, parent: str, child: str) -> list[str]:
    """Return the texts of all these elements, whatever namespace they are in. Raises ProcessFailed."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ProcessFailed(f"a listing that is no XML ({error}) begins with {text[:80]!r}") from None
    return [one.findtext(f"{{*}}{child}") or "" for one in root.iterfind(f"{{*}}{parent}")]


def _tagged(text: str, tag: str) -> str:
    found = re.search(f"<{tag}>([^<]*)</{tag}>", text)
    return found.group(1) if found else ""
