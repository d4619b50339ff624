"""Who may do what: signatures in the header and in presigned addresses."""

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock
from urllib.parse import quote, urlsplit

from botocore import auth

from resilience_tests.contract.s3.check_objects import HOSTILE_KEYS
from resilience_tests.contract.s3.place import Answer, Place, as_account, refused, send


def presigned(at: Place, method: str, key: str, *, seconds: int = 60, **arguments: Any) -> str:
    """Return the target (path and query) of a presigned address."""
    place = {"Bucket": at.bucket, "Key": key, **arguments}
    address = at.client.generate_presigned_url(f"{method}_object", Params=place, ExpiresIn=seconds)
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}"


def ask(at: Place, method: str, target: str, body: bytes = b"") -> Answer:
    return send(at, method, target, {}, body)


def clock(**shift: float) -> Any:
    """Make the signer's clock differ from ours."""
    shifted = datetime.now(UTC).replace(tzinfo=None) + timedelta(**shift)
    return mock.patch.object(auth, "get_current_datetime", return_value=shifted)


def check_wrong_secret_is_refused(at: Place) -> None:
    at.put("key")
    with as_account(at, secret="not the secret") as stranger:
        with refused(403, "SignatureDoesNotMatch"):
            stranger.get("key")
        with refused(403, "SignatureDoesNotMatch"):
            stranger.put("key", b"changed")
        with refused(403, "SignatureDoesNotMatch"):
            stranger.client.delete_object(Bucket=at.bucket, Key="key")
    assert at.get("key") == b"bytes"


def check_unknown_key_is_refused(at: Place) -> None:
    with as_account(at, access_key="AKIANOBODY") as stranger, refused(403, "InvalidAccessKeyId"):
        stranger.put("key")
    assert at.keys() == []


def check_anonymous_is_refused(at: Place) -> None:
    at.put("key")
    answer = ask(at, "GET", f"/{at.bucket}/key")
    assert answer.status == 403, answer.body
    assert b"<Code>AccessDenied</Code>" in answer.body
    assert ask(at, "PUT", f"/{at.bucket}/other", b"bytes").status == 403
    assert at.keys() == ["key"]


def check_clock_skew_is_refused(at: Place) -> None:
    at.put("key")
    for minutes in (-20, 20):
        with clock(minutes=minutes), refused(403, "RequestTimeTooSkewed"):
            at.get("key")
    with clock(minutes=-10):
        assert at.get("key") == b"bytes"


def check_presigned_get(at: Place) -> None:
    for key in HOSTILE_KEYS:
        at.put(key, key.encode())
    for key in HOSTILE_KEYS:
        answer = ask(at, "GET", presigned(at, "get", key))
        assert (answer.status, answer.body) == (200, key.encode()), key


def check_presigned_put(at: Place) -> None:
    answer = ask(at, "PUT", presigned(at, "put", "key"), b"from a browser")
    assert answer.status == 200, answer.body
    assert at.get("key") == b"from a browser"


def check_presigned_for_another_key_is_refused(at: Place) -> None:
    at.put("secret")
    target = presigned(at, "get", "key").replace("/key?", "/secret?")
    answer = ask(at, "GET", target)
    assert answer.status == 403, answer.body
    assert b"<Code>SignatureDoesNotMatch</Code>" in answer.body


def check_presigned_for_another_method_is_refused(at: Place) -> None:
    at.put("key")
    assert ask(at, "DELETE", presigned(at, "get", "key")).status == 403
    assert at.keys() == ["key"]


def check_presigned_and_expired_is_refused(at: Place) -> None:
    at.put("key")
    with clock(minutes=-2):
        target = presigned(at, "get", "key", seconds=60)
        fresh = presigned(at, "get", "key", seconds=600)
    answer = ask(at, "GET", target)
    assert answer.status == 403, answer.body
    assert b"<Code>AccessDenied</Code>" in answer.body
    assert ask(at, "GET", fresh).status == 200


def check_a_changed_parameter_is_refused(at: Place) -> None:
    at.put("key", ContentType="text/plain")
    target = presigned(at, "get", "key", ResponseContentType="image/png")
    assert ask(at, "GET", target).headers["content-type"] == "image/png"
    assert (
        ask(at, "GET", target.replace(quote("image/png", safe=""), quote("image/gif", safe=""))).status == 403
    )


def check_errors_are_s3_xml(at: Place) -> None:
    answer = ask(at, "GET", presigned(at, "get", "nothing"))
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/xml"
    assert answer.body.startswith(b"<?xml")
    for name in (b"Code", b"Message", b"RequestId"):
        assert b"<%s>" % name in answer.body
