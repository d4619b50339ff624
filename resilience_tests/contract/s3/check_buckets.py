"""Buckets."""

from resilience_tests.contract.s3.place import Place, refused, status_of


def check_head(at: Place) -> None:
    at.client.head_bucket(Bucket=at.bucket)
    with refused(404):
        at.client.head_bucket(Bucket=f"{at.bucket}-not")


def check_list(at: Place) -> None:
    assert at.bucket in [one["Name"] for one in at.client.list_buckets()["Buckets"]]


def check_location(at: Place) -> None:
    found = at.client.get_bucket_location(Bucket=at.bucket)["LocationConstraint"]
    assert (found or "us-east-1") == at.account.region


def check_create_twice(at: Place) -> None:
    """S3 itself answers 200 in its first region and 409 elsewhere; the objects stay in both."""
    at.put("key")
    assert status_of(lambda: at.client.create_bucket(Bucket=at.bucket)) in (200, 409)
    assert at.keys() == ["key"]


def check_bad_names_are_refused(at: Place) -> None:
    for name in ("ab", "Upper-case", "under_score", "-lead", "192.168.0.1"):
        with refused(400, "InvalidBucketName"):
            at.client.create_bucket(Bucket=name)


def check_delete_when_not_empty_is_refused(at: Place) -> None:
    at.put("key")
    with refused(409, "BucketNotEmpty"):
        at.client.delete_bucket(Bucket=at.bucket)
    assert at.get("key") == b"bytes"


def check_delete_and_create_again(at: Place) -> None:
    at.put("key")
    at.client.delete_object(Bucket=at.bucket, Key="key")
    at.client.delete_bucket(Bucket=at.bucket)
    with refused(404, "NoSuchBucket"):
        at.put("key")
    at.client.create_bucket(Bucket=at.bucket)
    assert at.keys() == []
