"""A plan file that is wrong is refused with its line, the value, and what to do."""

from pathlib import Path

import pytest

from cutover.cli.plan_file import PlanFile, parse_plan, read_plan
from cutover.errors import BadInput
from cutover.model.plan import Deletes, Gates, Lease, MergeRule, ObjectOf, Plan, Table

SMALLEST = """\
schema: 1
name: move
source: east
target: west
tables:
  - name: posts
    key: [id]
    merge: record
"""

FULL = """\
schema: 1
name: move-2026
stack: outputs.json
source: east
target: west
lease: {seconds: 4, margin: 0.5}
gates:
  lag_seconds: 1
  drain_seconds: 9.5
  drain_attempts: 2
  approve_cutover: true
  delete_rows: 50
deletes: require_request
tables:
  - name: public.posts
    key: [id]
    merge: record
    counters: [likes, views]
    objects:
      - {key: object_key, digest: sha256}
      - {key: thumbnail, bucket: thumbs}
  - name: money.earnings
    key: [author, at]
    merge: append
"""

POSTS = Table(name="posts", key=("id",), merge=MergeRule.RECORD)


def parse(text: str) -> PlanFile:
    return parse_plan(text, Path("plan.yaml"))


def refusal_of(text: str) -> str:
    with pytest.raises(BadInput) as refused:
        parse(text)
    return str(refused.value)


def test_what_is_left_out_of_a_plan_has_the_defaults_of_the_engine() -> None:
    read = parse(SMALLEST)
    assert read.plan == Plan(name="move", source="east", target="west", tables=(POSTS,))
    assert read.stack is None


def test_every_key_of_a_plan_is_read() -> None:
    posts = Table(
        name="posts",
        key=("id",),
        merge=MergeRule.RECORD,
        counters=("likes", "views"),
        objects=(
            ObjectOf(key_column="object_key", digest_column="sha256"),
            ObjectOf(key_column="thumbnail", bucket="thumbs"),
        ),
    )
    earnings = Table(schema="money", name="earnings", key=("author", "at"), merge=MergeRule.APPEND)
    read = parse(FULL)
    assert read.plan == Plan(
        name="move-2026",
        source="east",
        target="west",
        tables=(posts, earnings),
        deletes=Deletes.REQUIRE_REQUEST,
        gates=Gates(lag_seconds=1, drain_seconds=9.5, drain_attempts=2, approve_cutover=True, delete_rows=50),
        lease=Lease(seconds=4, margin=0.5),
    )
    assert read.stack == "outputs.json"


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        ("source: east", "soruce: east", ["line 3: unknown key 'soruce'; did you mean 'source'?"]),
        ("source: east", "soruce: east", ["line 1: key 'source' is missing (site that is left)"]),
        ("merge: record", "merge: recrod", ["line 8", "'recrod'", "did you mean 'record'?"]),
        ("merge: record", "merg: record", ["line 8: unknown key 'merg' in tables[0]; did you mean 'merge'?"]),
        ("    key: [id]\n", "", ["line 6: key 'key' is missing in tables[0] (columns of a unique key"]),
        ("key: [id]", "key: []", ["line 7: tables[0].key: at least one is needed, found []"]),
        ("key: [id]", "key: id", ["line 7: tables[0].key: a list is needed, found 'id'"]),
        (
            "key: [id]",
            "key: [no]",
            ["line 7: tables[0].key[0]: text (put it into quotes) is needed, found false"],
        ),
        ("key: [id]", "key: [id, id]", ["line 7: column 'id' stands twice under key"]),
        ("target: west", "target: east", ["line 4: target: 'east' is the source too"]),
        ("target: west", "target: West", ["line 4: target: a name of small letters", "'West'"]),
        ("schema: 1", "schema: 2", ["line 1: schema: one of 1 is needed, found 2"]),
        ("name: posts", "name: a.b.c", ["line 6: 'a.b.c' is not `table` or `schema.table`"]),
        ("name: posts", f"name: {'x' * 64}", ["line 6", "PostgreSQL keeps 63 bytes"]),
        ("merge: record", "merge: counter", ["line 8: table 'posts' merges as a counter; name its columns"]),
        ("merge: record", "merge: record\n    counters: [id]", ["line 9: column 'id' is in the key"]),
        (
            "merge: record",
            "merge: record\n  - {name: public.posts, key: [id], merge: append}",
            ["line 9", "twice"],
        ),
        ("target: west", "target: west\ntarget: north", ["line 5: key 'target' stands here twice"]),
        (
            "target: west",
            "target: west\nlease: {seconds: 0}",
            ["line 5: lease.seconds: more than 0 is needed"],
        ),
        ("target: west", "target: west\nlease: {seconds: .inf}", ["line 5: lease.seconds: a finite number"]),
        (
            "target: west",
            "target: west\nlease: {seconds: '3'}",
            ["line 5: lease.seconds: a number is needed, found '3'"],
        ),
        (
            "target: west",
            "target: west\ngates:\n  drain_attempts: 1.5",
            ["line 6: gates.drain_attempts: a whole"],
        ),
        ("target: west", "target: west\ngates: 3", ["line 5: gates: a set of keys is needed, found 3"]),
        ("key: [id]", "key: [id", ["this is not YAML"]),
        ("source: east", "source: &here east\nstack: *here", []),
        ("key: [id]", "key: &cols [id]\n    counters: *cols", ["line 7: anchors and aliases are not read"]),
    ],
)
def test_what_is_wrong_in_a_plan_is_said_with_its_line(written: str, instead: str, said: list[str]) -> None:
    text = SMALLEST.replace(written, instead, 1)
    assert text != SMALLEST
    if not said:
        assert parse(text).plan.source == "east"
        return
    refusal = refusal_of(text)
    assert [part for part in said if part not in refusal] == [], refusal
    assert refusal.startswith("plan.yaml")


def test_everything_that_is_wrong_is_said_at_once() -> None:
    refusal = refusal_of(FULL.replace("money.earnings", "3").replace("seconds: 4", "secs: 4"))
    assert refusal.startswith("plan.yaml: ")
    assert "unknown key 'secs' in lease; did you mean 'seconds'?" in refusal


@pytest.mark.parametrize(
    "line",
    [
        "password: hunter2",
        "s3_secret_key: hunter2",
        "dsn: hunter2",
        "access_key: hunter2",
        "lease: {token: hunter2}",
        "stack: postgresql://admin:hunter2@db:5432/app",
    ],
)
def test_a_secret_in_a_plan_is_refused_and_not_repeated(line: str) -> None:
    refusal = refusal_of(SMALLEST + line + "\n")
    assert "line 9" in refusal
    assert "looks like a secret" in refusal
    assert "credentials_file" in refusal
    assert "hunter2" not in refusal


def test_a_secret_beside_another_mistake_is_not_repeated_either() -> None:
    refusal = refusal_of(SMALLEST.replace("merge: record", "merge: {password: hunter2}"))
    assert "hunter2" not in refusal


@pytest.mark.parametrize("text", ["", "# nothing\n", "3", "[]", "--- 1\n--- 2\n", "a: \x07", "[" * 1500])
def test_what_is_no_plan_at_all_is_refused(text: str) -> None:
    assert "plan.yaml" in refusal_of(text)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    wrong = tmp_path / "plan.yaml"
    wrong.write_bytes(b"\xff\xfe")
    for path, why in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "directory"), (wrong, "UTF-8")):
        with pytest.raises(BadInput, match=why) as refused:
            read_plan(path)
        assert str(path) in str(refused.value)
