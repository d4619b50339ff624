"""Listings: order, prefixes, delimiters, pages."""

from resilience_tests.contract.s3.check_objects import HOSTILE_KEYS
from resilience_tests.contract.s3.place import Place, refused, send, sign

TREE = ("a", "a/1", "a/2", "a/b/3", "b", "b/", "b//4", "c", "ca", "cb/5", "z\u00fc", "z\U0001f600")
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def plant(at: Place) -> None:
    for key in TREE:
        at.put(key, key.encode())


def check_order_is_by_bytes(at: Place) -> None:
    keys = ["\uffee", "\U0001f600", "a", "B", "a\x01", "a ", "a/", "a!", "é", "e\u0301"]
    for key in keys:
        at.put(key)
    assert at.keys() == sorted(keys, key=str.encode)


def check_entries_say_size_etag_and_time(at: Place) -> None:
    etag = at.put("key", b"12345")
    [entry] = at.client.list_objects_v2(Bucket=at.bucket)["Contents"]
    assert (entry["Key"], entry["Size"], entry["ETag"]) == ("key", 5, etag)
    assert entry["LastModified"].replace(microsecond=0) == at.head("key")["LastModified"]


def check_empty_bucket(at: Place) -> None:
    page = at.client.list_objects_v2(Bucket=at.bucket)
    assert (page["KeyCount"], page["IsTruncated"], page.get("Contents")) == (0, False, None)


def check_prefix(at: Place) -> None:
    plant(at)
    for prefix in ("", "a", "a/", "b/", "c", "z", "z\u00fc", "nothing"):
        assert at.keys(Prefix=prefix) == [key for key in TREE if key.startswith(prefix)], prefix


def check_delimiter(at: Place) -> None:
    plant(at)
    page = at.client.list_objects_v2(Bucket=at.bucket, Delimiter="/")
    assert [one["Key"] for one in page["Contents"]] == ["a", "b", "c", "ca", "z\u00fc", "z\U0001f600"]
    assert [one["Prefix"] for one in page["CommonPrefixes"]] == ["a/", "b/", "cb/"]
    below = at.client.list_objects_v2(Bucket=at.bucket, Delimiter="/", Prefix="a/")
    assert [one["Key"] for one in below["Contents"]] == ["a/1", "a/2"]
    assert [one["Prefix"] for one in below["CommonPrefixes"]] == ["a/b/"]


def check_delimiter_of_several_characters(at: Place) -> None:
    plant(at)
    page = at.client.list_objects_v2(Bucket=at.bucket, Delimiter="//")
    assert [one["Prefix"] for one in page["CommonPrefixes"]] == ["b//"]


def check_pages(at: Place) -> None:
    plant(at)
    for size in (1, 2, 5, len(TREE), 1000):
        assert at.keys(PaginationConfig={"PageSize": size}) == list(TREE), size


def check_pages_with_a_delimiter(at: Place) -> None:
    plant(at)
    whole = at.client.list_objects_v2(Bucket=at.bucket, Delimiter="/")
    for size in (1, 2, 3):
        paginator = at.client.get_paginator("list_objects_v2")
        pages = list(paginator.paginate(Bucket=at.bucket, Delimiter="/", PaginationConfig={"PageSize": size}))
        assert [one for page in pages for one in page.get("Contents", [])] == whole["Contents"], size
        assert [one for page in pages for one in page.get("CommonPrefixes", [])] == whole["CommonPrefixes"], (
            size
        )
        assert all(page["KeyCount"] <= size for page in pages), size


def check_page_of_nothing(at: Place) -> None:
    at.put("key")
    page = at.client.list_objects_v2(Bucket=at.bucket, MaxKeys=0)
    assert (page["KeyCount"], page["IsTruncated"]) == (0, False)


def check_start_after(at: Place) -> None:
    plant(at)
    assert at.keys(StartAfter="a/2") == list(TREE[3:])
    assert at.keys(StartAfter="\U0010ffff") == []
    assert at.keys(StartAfter="a/1", Prefix="a/") == ["a/2", "a/b/3"]


def check_pages_go_on_when_the_last_key_is_deleted(at: Place) -> None:
    plant(at)
    first = at.client.list_objects_v2(Bucket=at.bucket, MaxKeys=3)
    at.client.delete_object(Bucket=at.bucket, Key=first["Contents"][-1]["Key"])
    rest = at.client.list_objects_v2(Bucket=at.bucket, ContinuationToken=first["NextContinuationToken"])
    assert [one["Key"] for one in rest["Contents"]] == list(TREE[3:])


def check_version_1(at: Place) -> None:
    plant(at)
    for size in (1, 3, 1000):
        paginator = at.client.get_paginator("list_objects")
        pages = list(paginator.paginate(Bucket=at.bucket, PaginationConfig={"PageSize": size}))
        assert [one["Key"] for page in pages for one in page["Contents"]] == list(TREE), size
        pages = list(paginator.paginate(Bucket=at.bucket, Delimiter="/", PaginationConfig={"PageSize": size}))
        prefixes = [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", [])]
        assert prefixes == ["a/", "b/", "cb/"], size


def check_hostile_prefixes(at: Place) -> None:
    for key in HOSTILE_KEYS:
        at.put(key)
    for key in HOSTILE_KEYS:
        assert at.keys(Prefix=key) == sorted(
            (one for one in HOSTILE_KEYS if one.startswith(key)), key=str.encode
        )


def check_unencoded_listing_is_xml(at: Place) -> None:
    """Without encoding-type=url a key stands in the XML as it is, escaped."""
    at.put("a&b<c>\"d'ü")
    headers = dict(sign(at, "GET", "?list-type=2", {"x-amz-content-sha256": EMPTY_SHA256}).headers.items())
    answer = send(at, "GET", f"/{at.bucket}/?list-type=2", headers)
    assert answer.status == 200
    assert b"<Key>a&amp;b&lt;c&gt;" in answer.body
    assert "ü</Key>".encode() in answer.body


def check_missing_bucket(at: Place) -> None:
    with refused(404, "NoSuchBucket"):
        at.client.list_objects_v2(Bucket=f"{at.bucket}-not")
