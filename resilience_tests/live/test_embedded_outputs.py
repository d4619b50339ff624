"""The outputs contract: what is written is read back, and a departure from it is named by its place."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from cutover.model.outputs import (
    ANY_KEYS,
    PATHS,
    Credentials,
    Database,
    InvalidOutputs,
    ObjectStore,
    Outputs,
    S3Credentials,
    SiteOutputs,
    WitnessOutputs,
)
from cutover.model.secret import Secret
from infra.topology import CLIENTS, OPERATOR, WITNESS, two_sites


def a_site(role: str) -> SiteOutputs:
    return SiteOutputs(
        role=role,
        region="r",
        s3=ObjectStore(endpoint="http://127.0.0.1:1", bucket="b", region="r"),
        postgres=Database(host="127.0.0.1", port=2, database="d"),
        platform="http://127.0.0.1:3",
        agent="http://127.0.0.1:4",
        credentials_file="/c",
    )


OUTPUTS = Outputs(
    name="n",
    kind="embedded",
    sites={"east": a_site("source"), "west": a_site("target")},
    witness=WitnessOutputs(
        s3=ObjectStore(endpoint="http://127.0.0.1:5", bucket="w", region="r"),
        prefix="n/r1/",
        credentials_file="/w",
    ),
)

CREDENTIALS = Credentials(
    s3=S3Credentials(access_key="key", secret_key=Secret("hidden-one")),
    postgres={"checker": Secret("hidden-two")},
)


def test_what_is_written_is_read_back() -> None:
    assert Outputs.from_json(OUTPUTS.to_json()) == OUTPUTS
    assert Credentials.from_json(CREDENTIALS.to_json()) == CREDENTIALS
    assert (OUTPUTS.source, OUTPUTS.target) == ("east", "west")


def test_a_store_that_keeps_paths_says_so_and_another_says_nothing() -> None:
    document = json.loads(OUTPUTS.to_json())
    _change(document, "sites.east.s3.keys", PATHS)
    read = Outputs.from_json(json.dumps(document))
    assert (read.sites["east"].s3.keys, read.sites["west"].s3.keys) == (PATHS, ANY_KEYS)
    assert json.loads(read.to_json()) == document


def test_the_text_has_the_shape_that_other_tools_rely_on() -> None:
    document = json.loads(OUTPUTS.to_json())
    assert set(document) == {"schema", "name", "kind", "sites", "witness"}
    assert set(document["sites"]["east"]) == {
        *("role", "region", "s3", "postgres", "platform", "agent", "credentials_file")
    }
    assert set(document["witness"]) == {"s3", "credentials_file"}
    assert set(document["witness"]["s3"]) == {"endpoint", "bucket", "region", "prefix"}


def _change(document: Any, path: str, value: object) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        document = document[parent]
    document[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schema", 2, r"outputs.schema: this program reads schema 1, the file has 2"),
        ("sites.east.colour", "red", r"outputs.sites.east: unknown key 'colour'"),
        (
            "sites.east.role",
            "spare",
            r"east.role: one of source, target is needed, found 'spare'",
        ),
        ("sites.west.role", "source", r"one source and one target are needed"),
        (
            "sites.east.postgres.port",
            "2",
            r"east.postgres.port: a whole number is needed, found str",
        ),
        ("sites.east.postgres.port", True, r"a whole number is needed, found bool"),
        ("sites.west.s3", None, r"outputs.sites.west.s3: an object is needed, found null"),
        ("sites.east.s3.keys", "some", r"s3.keys: one of any, paths is needed, found 'some'"),
        ("witness.s3.more", 1, r"outputs.witness.s3: unknown key 'more'"),
    ],
)
def test_a_departure_is_named_by_its_place(path: str, value: object, message: str) -> None:
    document = json.loads(OUTPUTS.to_json())
    _change(document, path, value)
    with pytest.raises(InvalidOutputs, match=message):
        Outputs.from_json(json.dumps(document))


def test_a_missing_key_and_half_a_file_are_named() -> None:
    document = json.loads(OUTPUTS.to_json())
    del document["sites"]["west"]["agent"]
    with pytest.raises(InvalidOutputs, match=r"outputs.sites.west: key 'agent' is missing"):
        Outputs.from_json(json.dumps(document))
    with pytest.raises(InvalidOutputs, match="not JSON"):
        Outputs.from_json(OUTPUTS.to_json()[:100])


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{!r:>5}".format])
def test_a_secret_shows_itself_nowhere(show: Callable[[object], str]) -> None:
    for value in (Secret("hidden-one"), CREDENTIALS):
        assert "hidden" not in show(value)
    broken = CREDENTIALS.to_json().replace('"hidden-two"', "7")
    with pytest.raises(InvalidOutputs) as caught:
        Credentials.from_json(broken)
    assert "hidden" not in str(caught.value)


def test_every_place_reaches_every_other_over_a_link_of_its_own() -> None:
    topology = two_sites()
    names = [link.name for link in topology.links]
    assert len(names) == len(set(names))
    for viewer in topology.viewers:
        for place in topology.places:
            assert (f"{viewer}-{place}" in names) == (viewer != place)
    assert all(link.origin != WITNESS for link in topology.links)
    assert {OPERATOR, CLIENTS} < set(topology.viewers)
