"""The ways of this machine are read as the kernel writes them, and what is in a container's way is said."""

import socket
import sys
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest

from infra.blueprint.settings import SUBNET_BITS, StackSettings
from infra.containers import routes, stack
from infra.containers.bring_up import _free_subnet, _from_own_place
from infra.containers.description import ContainerDescription
from infra.containers.engine import LOCAL_URL, Engine
from infra.containers.routes import Way, interfaces_to, ways
from infra.embedded.errors import ProcessFailed
from infra.embedded.state import StateFolder
from resilience_tests.spec.infra.containers.test_engine import engine_with

HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT"
STALE, OURS = "br-of-the-dead 198.18.71.0/26", "br-ours 198.18.71.0/26"


def table_with(machine: pytest.MonkeyPatch, folder: Path, *there: str) -> None:
    """Let the kernel say that interfaces have these networks, the older first."""
    lines = [HEAD]
    for interface, network in (one.split() for one in there):
        to, mask = _written(IPv4Network(network).network_address), _written(IPv4Network(network).netmask)
        lines.append(f"{interface}\t{to}\t00000000\t0001\t0\t0\t0\t{mask}\t0\t0\t0   ")
    table = folder / "routes"
    table.write_text("\n".join([*lines, ""]))
    machine.setattr(routes, "ROUTES", table)


def _written(address: object) -> str:
    return f"{int.from_bytes(socket.inet_aton(str(address)), sys.byteorder):08X}"


def test_every_way_is_read_but_the_default_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table_with(monkeypatch, tmp_path, "eth0 0.0.0.0/0", "tun0 198.18.0.0/15", STALE)
    assert ways() == [
        Way("tun0", IPv4Network("198.18.0.0/15")),
        Way("br-of-the-dead", IPv4Network("198.18.71.0/26")),
    ]


@pytest.mark.parametrize(
    ("address", "interfaces"),
    [
        ("198.18.71.9", ("br-of-the-dead", "br-ours")),
        ("198.18.71.64", ("tun0",)),
        ("203.0.113.1", ()),
    ],
)
def test_the_narrowest_network_that_has_an_address_leads_to_it(
    address: str, interfaces: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table_with(monkeypatch, tmp_path, "eth0 0.0.0.0/0", "tun0 198.18.0.0/15", STALE, OURS)
    assert interfaces_to(address) == interfaces


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ([], 0),
        (["eth0 0.0.0.0/0", "tun0 198.18.0.0/15"], 0),
        (["br-of-the-dead {0}"], 1),
        (["br-of-the-dead {0}", "tun0 198.18.0.0/15", "wg0 {1}"], 2),
    ],
    ids=["none", "wider than all stacks", "of a dead engine", "of several"],
)
def test_a_stack_takes_no_addresses_to_which_this_machine_has_a_way(
    there: list[str], taken: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """CI had a bridge of an engine that was gone: nothing sent to a site on its addresses came there."""
    monkeypatch.setenv("CUTOVER_STATE", str(tmp_path / "state"))
    blocks = _from_own_place("shop", SUBNET_BITS)
    firsts = [next(block.subnets(new_prefix=26)) for block in blocks[:2]]
    table_with(monkeypatch, tmp_path, *(one.format(*firsts) for one in there))
    client, _ = engine_with()
    assert _free_subnet(StateFolder.open(), client, "shop", SUBNET_BITS) == str(blocks[taken])


class Silent(stack.ContainerStack):
    """A stack whose containers run and do not answer."""

    def __init__(self, url: str, *, address: str) -> None:
        settings = StackSettings(name="shop", image="cutover-site:test")
        self.description = ContainerDescription(settings=settings, keep=False, made_by="applier")
        found = SimpleNamespace(
            name="shop-east-s3",
            attrs={
                "State": {"Running": True, "Status": "running", "Pid": 1, "Health": {"Status": "healthy"}},
                "NetworkSettings": {"Networks": {"shop-east": {"IPAddress": address}}},
            },
            logs=lambda **_: b"swept 3 bodies",
        )
        client = SimpleNamespace(
            api=SimpleNamespace(base_url=url), containers=SimpleNamespace(get=lambda _: found)
        )
        self._only = Engine(cast("docker.DockerClient", client))

    def _engine(self, process: str) -> Engine:
        return self._only

    async def _serves(self, process: str) -> bool:
        return False


@pytest.mark.parametrize(
    ("address", "there", "said"),
    [
        ("198.18.71.9", [STALE, OURS], "198.18.71.9 leaves over br-of-the-dead, and br-ours has the same"),
        ("198.18.71.9", [], "No network of this machine has 198.18.71.9."),
        ("", [OURS], "On shop-east it has no address."),
    ],
)
async def test_a_container_that_does_not_serve_is_told_with_all_that_may_be_the_reason(
    address: str, there: list[str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table_with(monkeypatch, tmp_path, *there)
    told = await failure_of(Silent(LOCAL_URL, address=address), monkeypatch)
    assert said in told
    assert "The engine calls it running (pid 1) and healthy." in told
    assert told.endswith("Its log ends: swept 3 bodies")


async def test_only_what_is_wrong_is_said_of_the_ways(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ways to the containers of another machine's engine are not this machine's."""
    table_with(monkeypatch, tmp_path, OURS)
    assert "leaves over" not in await failure_of(Silent(LOCAL_URL, address="198.18.71.9"), monkeypatch)
    table_with(monkeypatch, tmp_path)
    far = await failure_of(Silent("http+docker://ssh", address="198.18.71.9"), monkeypatch)
    assert "No network" not in far


async def failure_of(silent: Silent, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(stack, "READY_SECONDS_MAX", 0.0)
    monkeypatch.setattr(stack, "LOOK_SECONDS", 0.0)
    ready: Any = silent._ready
    with pytest.raises(ProcessFailed, match="east/s3 does not serve after 0 s") as failed:
        await ready("east/s3")
    return str(failed.value)
