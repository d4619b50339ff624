"""What must hold of a host as its engine made it: nothing beyond the plan is reachable, allowed or told."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cutover.model.secret import Secret
from infra.blueprint.containers import CAPABILITIES
from resilience_tests.live.hosts.lives import members_of
from resilience_tests.live.hosts.of_stack import HostOfStack

OF_THE_MACHINE = ("NetworkMode", "PidMode", "IpcMode", "UTSMode", "UsernsMode")
"""What a container can share with the machine that it runs on, and must not."""


def assert_published_nowhere(host: HostOfStack) -> None:
    """Fail if the machine passes anything on to this container but what is planned for it.

    On one engine that is nothing; on machines of their own, ports on the private
    address of the link and on no other.
    """
    with host.inspected() as attrs:
        planned = {f"{port}/tcp": [address] for port, address in host.planned.published.items()}
        given = _addresses(attrs["HostConfig"]["PortBindings"])
        taken = _addresses(attrs["NetworkSettings"]["Ports"])
        assert given == planned, f"{host.name} publishes {given}; planned is {planned}"
        assert taken == planned, f"{host.name} is reached at {taken}; planned is {planned}"
        assert not attrs["HostConfig"]["PublishAllPorts"], f"{host.name} publishes all ports"


def _addresses(bindings: Mapping[str, Any] | None) -> Mapping[str, list[str]]:
    """Return the addresses of the machine on which ports are published, by port."""
    return {port: [one["HostIp"] for one in where] for port, where in (bindings or {}).items() if where}


def assert_networks_as_planned(host: HostOfStack) -> None:
    """Fail if it is on another network than planned, under another address, or on one with a way out."""
    with host.inspected() as attrs:
        joined = attrs["NetworkSettings"]["Networks"]
        found = {name: one["IPAddress"] for name, one in joined.items()}
        assert found == dict(host.planned.networks), f"{host.name} is on {found}"
        for name, one in joined.items():
            internal = host.client.networks.get(one["NetworkID"]).attrs["Internal"]
            assert internal is not host.blueprint.settings.spread, f"{host.name}: {name} has a way out"


def assert_few_rights(host: HostOfStack) -> None:
    """Fail if it may do more than hand its files over and become an ordinary user."""
    with host.inspected() as attrs:
        wrong = list(_rights_beyond(attrs["HostConfig"]))
    assert not wrong, f"{host.name}: {'; '.join(wrong)}"


def _rights_beyond(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield each right that a service of ours has no use for."""
    if config["CapDrop"] != ["ALL"]:
        yield f"of its capabilities it drops {config['CapDrop']}, not all"
    if more := {_short(name) for name in config["CapAdd"] or ()} - {_short(name) for name in CAPABILITIES}:
        yield f"it is also given {sorted(more)}"
    if config["Privileged"]:
        yield "it is privileged"
    options = config["SecurityOpt"] or []
    if not {"no-new-privileges", "no-new-privileges:true"} & {*options}:
        yield f"its programs may gain privileges: {options}"
    if loose := [one for one in options if "unconfined" in one]:
        yield f"it is {loose}"
    if shared := [name for name in OF_THE_MACHINE if config[name] == "host"]:
        yield f"it has {shared} of the machine"
    if config["Devices"]:
        yield f"it has devices of the machine: {config['Devices']}"


def _short(capability: str) -> str:
    return capability.removeprefix("CAP_")


def assert_mounts_as_planned(host: HostOfStack) -> None:
    """Fail unless it has the planned volumes or folders, writable, and nothing else of the machine's."""
    with host.inspected() as attrs:
        found = {(one["Type"], _origin(one), one["Destination"], one["RW"]) for one in attrs["Mounts"]}
        planned = {
            ("volume", one.volume, one.path, True) if one.volume else ("bind", one.folder, one.path, True)
            for one in host.planned.mounts
        }
        assert found == planned, f"{host.name} has {sorted(found)}; planned is {sorted(planned)}"


def _origin(mount: Mapping[str, Any]) -> str:
    return str(mount["Name"] if mount["Type"] == "volume" else mount["Source"])


def assert_secrets_untold(host: HostOfStack, secrets: Mapping[str, Secret]) -> None:
    """Fail if a secret stands in settings, labels, arguments, variables or the log, where others read it.

    Needs root, who alone reads the variables of all processes. Messages name secrets, and show none.
    """
    with host.inspected() as attrs:
        told = {"what the engine tells": json.dumps(attrs), "the log": host.container.logs().decode()}
        for who in members_of(attrs["Id"]):
            told[f"the arguments of process {who.pid}"] = _read(who.pid, "cmdline")
            told[f"the variables of process {who.pid}"] = _read(who.pid, "environ")
        found = [
            f"{name} in {where}"
            for where, text in told.items()
            for name, one in secrets.items()
            if one.reveal() in text
        ]
        assert not found, f"{host.name}: {'; '.join(found)}"


def _read(pid: int, what: str) -> str:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):  # gone meanwhile
        return ""
