"""The ways of this machine are read as the kernel writes them, and what is in a container's way is said."""

import socket
import sys
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest

from infra.blueprint.settings import NETWORK_BITS, StackSettings
from infra.containers import bring_up, routes, stack
from infra.containers.description import ContainerDescription
from infra.containers.engine import LOCAL_URL, Engine
from infra.containers.routes import Way, interfaces_to, ways
from infra.embedded.errors import ProcessFailed
from infra.embedded.state import StateFolder

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


def test_a_new_stack_takes_no_addresses_to_which_another_bridge_leads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUTOVER_STATE", str(tmp_path / "state"))
    nothing = cast("docker.DockerClient", SimpleNamespace(networks=SimpleNamespace(list=list)))

    def chosen(*there: str) -> IPv4Network:
        table_with(monkeypatch, tmp_path, *there)
        return IPv4Network(bring_up._free_subnet(StateFolder.open(), nothing, "main", 24))

    first = chosen("eth0 0.0.0.0/0", "tun0 198.18.0.0/15")
    left = next(first.subnets(new_prefix=NETWORK_BITS))
    assert not chosen("tun0 198.18.0.0/15", f"br-of-the-dead {left}").overlaps(first)
