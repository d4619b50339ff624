"""What can be known of a container that runs and does not answer, so that one report is enough."""

import asyncio
from collections.abc import Mapping
from typing import Any

from infra.containers.engine import Engine
from infra.containers.routes import interfaces_to


async def why_silent(engine: Engine, name: str) -> str:
    """Return sentences: what the engine says of a container, the ways to it from here, its last words.

    Raises ProcessFailed when the engine does not have it any more.
    """
    found = await engine.container(name)
    words = await engine.last_words(name)
    addresses = _addresses(found.attrs["NetworkSettings"]["Networks"])
    said = [_state(found.attrs["State"])]
    said += [f"On {network} it has {address or 'no address'}." for network, address in addresses.items()]
    if engine.local:
        said += await asyncio.to_thread(lambda: [_ways_to(one) for one in addresses.values() if one])
    return " ".join([*filter(None, said), f"Its log ends: {words}"])


def _addresses(networks: Mapping[str, Mapping[str, Any]]) -> Mapping[str, str]:
    return {network: str(one.get("IPAddress") or "") for network, one in networks.items()}


def _state(state: Mapping[str, Any]) -> str:
    health = (state.get("Health") or {}).get("Status", "without a check")
    return f"The engine calls it {state['Status']} (pid {state['Pid']}) and {health}."


def _ways_to(address: str) -> str:
    """Say what is wrong with the ways to an address; nothing when there is exactly one."""
    interfaces = interfaces_to(address)
    if len(interfaces) == 1:
        return ""
    if not interfaces:
        return f"No network of this machine has {address}."
    first, *others = interfaces
    return (
        f"What is sent to {address} leaves over {first}, and {', '.join(others)} has the same network: "
        f"`ip link delete {first}` if an engine that is gone left it behind."
    )
