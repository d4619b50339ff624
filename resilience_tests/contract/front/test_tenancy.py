"""What a stack makes at somebody's server goes with it, and what is not its own is never touched."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

from cutover.model.outputs import ObjectStore, S3Credentials
from cutover.model.secret import Secret
from infra.embedded import buckets
from infra.embedded.errors import NoS3Server
from infra.embedded.state import StackFolder
from infra.s3_engines.outside import ACCESS, SECRET, Outside
from infra.s3_engines.tenancy import Tenancy
from resilience_tests.contract.s3.place import Account, connected
from resilience_tests.contract.s3.servers import (
    free_port,
    own_server,
    versitygw_at_hand,
    versitygw_server,
)

NEIGHBOUR = "cutover-a-00000001-east-r2"
"""Somebody else's bucket, with a name that could be one of ours."""

KEYS = ("plain", "a b+c", "ü/%41/x", "x&<y>'\"")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (ACCESS, SECRET):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["own", *(["versitygw"] if versitygw_at_hand() else [])])
def account(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Account]:
    """An account at a server where a neighbour has a bucket, too; what is in that is looked at afterwards."""
    with ExitStack() as closing:
        program = versitygw_at_hand()
        if request.param == "versitygw":
            assert program is not None
            found = closing.enter_context(versitygw_server(tmp_path, program))
        else:
            found = closing.enter_context(own_server(tmp_path)).account
        client = closing.enter_context(connected(found))
        client.create_bucket(Bucket=NEIGHBOUR)
        client.put_object(Bucket=NEIGHBOUR, Key="theirs", Body=b"theirs")
        yield found
        assert client.get_object(Bucket=NEIGHBOUR, Key="theirs")["Body"].read() == b"theirs"


@pytest.fixture
def folder(tmp_path: Path) -> StackFolder:
    made = StackFolder("a", tmp_path / "stack", tmp_path / "reach")
    made.make()
    return made


def pair_of(account: Account) -> S3Credentials:
    return S3Credentials(access_key=account.access_key, secret_key=Secret(account.secret))


def tenancy_of(folder: StackFolder, account: Account) -> Tenancy:
    made = Tenancy(folder)
    made.remember(pair_of(account))
    return made


def told(url: str) -> Outside:
    return Outside(url=url, mark="00000001")


def store_at(endpoint: str, number: int = 1) -> ObjectStore:
    bucket = told(endpoint).bucket("a", "east", number)
    return ObjectStore(endpoint=endpoint, bucket=bucket, region="us-east-1")


def buckets_at(account: Account) -> set[str]:
    with connected(account) as client:
        return {one["Name"] for one in client.list_buckets()["Buckets"]}


def fill(client: Any, bucket: str) -> None:
    """Leave what a site that was killed leaves: objects, and an upload that was never completed."""
    for key in KEYS:
        client.put_object(Bucket=bucket, Key=key, Body=b"ours")
    upload = client.create_multipart_upload(Bucket=bucket, Key="never completed")["UploadId"]
    part = {"Bucket": bucket, "Key": "never completed", "UploadId": upload, "PartNumber": 1}
    client.upload_part(**part, Body=b"a part")


def test_all_that_a_stack_made_goes_with_it_whatever_is_in_it(
    account: Account, folder: StackFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "PAGE", 3)  # so that there is more than one listing holds
    ours, store = tenancy_of(folder, account), store_at(account.endpoint)
    ours.make(told(account.endpoint), store)
    with connected(account) as client:
        fill(client, store.bucket)
    assert buckets_at(account) == {NEIGHBOUR, store.bucket}
    assert Tenancy(folder).end() == ()
    assert buckets_at(account) == {NEIGHBOUR}
    assert Tenancy(folder).buckets == ()


def test_a_new_run_takes_the_bucket_of_the_last_one_away(account: Account, folder: StackFolder) -> None:
    ours, there = tenancy_of(folder, account), told(account.endpoint)
    first, third = (store_at(account.endpoint, number) for number in (1, 3))
    witness = replace(first, bucket=there.bucket("a", "witness", None))
    for store in (witness, first, third, witness):  # all runs share that of the witness
        ours.renew(there, store, there.bucket("a", "witness" if store == witness else "east", None))
    assert buckets_at(account) == {NEIGHBOUR, witness.bucket, third.bucket}
    assert set(ours.buckets) == {witness.bucket, third.bucket}


def test_a_bucket_that_is_there_without_us_is_not_used_and_not_removed(
    account: Account, folder: StackFolder
) -> None:
    ours, store = tenancy_of(folder, account), store_at(account.endpoint, 2)
    assert store.bucket == NEIGHBOUR
    with pytest.raises(NoS3Server, match=f"has a bucket {NEIGHBOUR} that is none of ours"):
        ours.make(told(account.endpoint), store)
    assert ours.end() == ()
    assert buckets_at(account) == {NEIGHBOUR}


def test_a_stack_that_was_killed_before_it_made_its_bucket_is_no_trouble(
    account: Account, folder: StackFolder
) -> None:
    """The front is away, so that it is on the list and not at the server."""
    ours, there = tenancy_of(folder, account), told(account.endpoint)
    away = replace(store_at(account.endpoint), endpoint=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(NoS3Server, match="but not over the front"):
        ours.make(there, away)
    assert ours.buckets == (away.bucket,)
    assert ours.end() == ()


def test_an_account_that_the_server_does_not_know_is_told_without_its_secret(
    account: Account, folder: StackFolder
) -> None:
    secret = secrets.token_hex(16)
    ours = tenancy_of(folder, replace(account, secret=secret))
    with pytest.raises(
        NoS3Server, match=r"answered 403 SignatureDoesNotMatch .*check S3_ACCESS_KEY"
    ) as caught:
        ours.make(told(account.endpoint), store_at(account.endpoint))
    assert secret not in str(caught.value)
    assert ours.buckets == ()


def test_when_the_account_was_changed_the_one_in_the_environment_removes_what_stayed(
    account: Account, folder: StackFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, store = tenancy_of(folder, account), store_at(account.endpoint)
    ours.make(told(account.endpoint), store)
    ours.remember(pair_of(replace(account, secret="one of yesterday")))
    (said,) = Tenancy(folder).end()
    assert f"buckets stayed at {account.endpoint}" in said
    assert store.bucket in said
    assert "yesterday" not in said
    monkeypatch.setenv(ACCESS, account.access_key)
    monkeypatch.setenv(SECRET, account.secret)
    assert Tenancy(folder).end() == ()
    assert buckets_at(account) == {NEIGHBOUR}


def test_a_server_that_is_away_is_told_at_once(folder: StackFolder) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ours = tenancy_of(folder, Account(endpoint=url, access_key="me", secret="mine"))
    with pytest.raises(NoS3Server, match=f"nobody answers at {url}: .*refused"):
        ours.make(told(url), store_at(url))
    assert ours.buckets == ()


class Theirs(BaseHTTPRequestHandler):
    """A server that is not at hand here, in the one thing that it does unlike others."""

    def say(self, status: int, code: str = "", text: str = "") -> None:
        body = (text or f"<Error><Code>{code}</Code></Error>").encode() if status != 204 else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Particular(Theirs):
    """It takes a signature for its own name only, and has no bucket yet."""

    def do_GET(self) -> None:
        self.say(404, "NoSuchBucket") if self._is_named() else self.say(403, "SignatureDoesNotMatch")

    def do_PUT(self) -> None:
        self.say(200) if self._is_named() else self.say(403, "SignatureDoesNotMatch")

    def _is_named(self) -> bool:
        return self.headers["Host"].startswith("localhost:")


class Strict(Theirs):
    """It removes no bucket in which an upload was begun and not ended."""

    begun = True

    def do_GET(self) -> None:
        upload = "<Upload><Key>a b</Key><UploadId>u+1</UploadId></Upload>" if Strict.begun else ""
        self.say(200, text=f"<Result>{upload if 'uploads=' in self.path else ''}</Result>")

    def do_DELETE(self) -> None:
        if self.path == "/ours/a%20b?uploadId=u%2B1":
            Strict.begun = False
            self.say(204)
        else:
            self.say(409, "BucketNotEmpty") if Strict.begun else self.say(204)


@contextmanager
def served(by: type[Theirs]) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), by) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_a_server_that_insists_on_its_own_name_is_refused_with_the_reason(folder: StackFolder) -> None:
    with served(Particular) as port:
        url, front = f"http://localhost:{port}", f"http://127.0.0.1:{port}"
        ours = tenancy_of(folder, Account(endpoint=url, access_key="me", secret="mine"))
        with pytest.raises(NoS3Server, match=r"403 SignatureDoesNotMatch.*insists on its own"):
            ours.make(told(url), store_at(front))
        assert ours.buckets == ()


def test_an_upload_that_nobody_will_end_is_called_off_before_the_bucket_is_removed() -> None:
    with served(Strict) as port:
        pair = S3Credentials(access_key="me", secret_key=Secret("mine"))
        door = buckets.Door(endpoint=f"http://127.0.0.1:{port}", region="us-east-1", pair=pair)
        buckets.remove_bucket(door, "ours")
        assert not Strict.begun


def test_the_account_is_kept_where_only_its_owner_reads_it(folder: StackFolder) -> None:
    tenancy_of(folder, Account(endpoint="http://s3.example", access_key="me", secret="mine"))
    told_in = [path for path in folder.path.rglob("*") if path.is_file() and "mine" in path.read_text()]
    assert [path.stat().st_mode & 0o077 for path in told_in] == [0]


def test_places_that_list_their_buckets_at_one_moment_lose_none_of_each_other(folder: StackFolder) -> None:
    """Each place is served by a thread, with an object of its own over the one list of the stack."""
    there, together = told("http://127.0.0.1:1"), Barrier(3)

    def list_some(place: str) -> None:
        together.wait()
        for number in range(20):
            Tenancy(folder)._add(there, f"{place}-{number}")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(list_some, ("east", "west", "witness")))
    assert len(set(Tenancy(folder).buckets)) == 60
