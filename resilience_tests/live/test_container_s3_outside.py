"""Containers whose object store stands outside: the way there dies with each site, and nothing stays there.

Needs a Docker engine on this machine, root and packet rules; elsewhere it is skipped, with the reason.
"""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from cutover.adapters.s3.address import S3Address
from cutover.adapters.s3.objects import S3Objects
from cutover.errors import SiteUnreachable
from cutover.model.outputs import Credentials
from infra.containers import bring_up
from infra.containers.engine import Engine
from infra.containers.removal import remove_all
from infra.containers.stack import ContainerStack
from infra.embedded.errors import NoS3Server
from infra.embedded.state import StateFolder
from infra.s3_engines.outside import ACCESS, REGION, SECRET
from resilience_tests.contract.containers.field import why_not
from resilience_tests.contract.s3.place import Account, connected
from resilience_tests.contract.s3.servers import own_server
from resilience_tests.live.test_s3_engines import body_of

WHY_NOT = why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=f"NOT TRIED, no containers here: {WHY_NOT}")

NEIGHBOUR = "cutover-main-00000001-east-r1"
"""Somebody else's bucket, with a name that could be one of ours."""


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    with_client = Engine.at()
    yield with_client.client
    with_client.client.close()


@pytest.fixture
def account(
    engine: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Account]:
    """Somebody's server on the engine's machine, with a neighbour's bucket, where containers can reach it."""
    gateway = engine.networks.get("bridge").attrs["IPAM"]["Config"][0]["Gateway"]
    with own_server(tmp_path, gateway) as server, connected(server.account) as client:
        monkeypatch.setenv(ACCESS, server.account.access_key)
        monkeypatch.setenv(SECRET, server.account.secret)
        monkeypatch.setenv(REGION, server.account.region)
        client.create_bucket(Bucket=NEIGHBOUR)
        client.put_object(Bucket=NEIGHBOUR, Key="theirs", Body=b"theirs")
        yield server.account
        assert client.get_object(Bucket=NEIGHBOUR, Key="theirs")["Body"].read() == b"theirs"


@pytest.fixture
def name(engine: docker.DockerClient) -> Iterator[str]:
    """The name of a stack of which nothing is left afterwards."""
    chosen = f"outs-{uuid.uuid4().hex[:8]}"
    yield chosen
    remove_all(StateFolder.open().stack(chosen), [engine])


def buckets_at(account: Account) -> set[str]:
    with connected(account) as client:
        return {one["Name"] for one in client.list_buckets()["Buckets"]}


def store_of(stack: ContainerStack, site: str) -> S3Objects:
    at = stack.outputs().sites[site]
    pair = Credentials.from_json(Path(at.credentials_file).read_text()).s3
    return S3Objects(S3Address.of(at.s3, pair), site)


def shown_by(engine: docker.DockerClient, stack: str) -> str:
    """All that `docker inspect` shows of a stack's containers."""
    found = engine.containers.list(all=True, filters={"name": f"{stack}-"})
    assert len(found) > 10
    return json.dumps([one.attrs for one in found])


async def test_the_store_of_a_site_dies_with_its_containers_and_nothing_of_it_stays(
    account: Account, engine: docker.DockerClient, name: str
) -> None:
    stack = await bring_up.up(name, keep=True, s3_server=account.endpoint, progress=print)
    store = store_of(stack, "east")
    try:
        assert account.secret not in shown_by(engine, name)
        assert account.secret not in (stack.folder.path / "stack.json").read_text()
        assert await store.put_if_absent("key", body_of(1))
        await stack.kill_site("east")
        with pytest.raises(SiteUnreachable):
            await store.head("key")
        await stack.restart_site("east")
        assert await store.equals("key", body_of(1), None)
        before = buckets_at(account)
        await stack.fresh()
        assert len(buckets_at(account) & before) == 2  # the witness' and the neighbour's
    finally:
        await store.close()
        await stack.close()
    again = await bring_up.attach(name)
    await again.down()
    assert buckets_at(account) == {NEIGHBOUR}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "0.0.0.0"])
async def test_a_server_that_a_container_would_look_for_in_itself_is_refused(
    host: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ACCESS, "me")
    monkeypatch.setenv(SECRET, "mine")
    with pytest.raises(NoS3Server, match=f"in a container {host} is the container itself"):
        await bring_up.up(name, s3_server=f"http://{host}:9000")
    assert not StateFolder.open().stack(name).path.exists()
