"""The links between containers, and cutting, slowing and narrowing them on the engine's own machine."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from infra.blueprint.addresses import LINK, Addresses
from infra.containers import netfilter
from infra.containers.claims import Claim, of_stack
from infra.containers.holders import Holders
from infra.containers.holding import Pace
from infra.containers.packets import (
    QUEUED,
    RATE_DEFAULT,
    SHARE_DEFAULT,
    Ends,
    Measure,
    Mode,
    also_hit,
    queues_of,
    rules_for,
)
from infra.embedded.errors import StackError
from infra.topology import CLIENTS, OPERATOR, WITNESS, Service, Topology, two_sites


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What changing a link took."""

    took_seconds: float  #: until the kernel had the new rules
    rules: int
    also: tuple[str, ...] = ()  #: other links that packets cannot tell from this one


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """One link that is not open, as the kernel's rules say."""

    link: str
    mode: str


class Links:
    """The links of one stack.

    `addresses`: what each place (sites, witness, operator, clients) begins its
    connections from and listens on, on every network that joins places. `ports`:
    the port of each service, the same wherever it runs. The rules carry `claim`,
    so that whoever starts next removes them if its owner is dead.
    """

    def __init__(
        self,
        claim: Claim,
        addresses: Mapping[str, Sequence[str]],
        ports: Mapping[str, int],
        topology: Topology | None = None,
    ) -> None:
        self._claim = claim
        self._addresses = addresses
        self._ports = ports
        self._topology = topology or two_sites()
        self._holders = Holders(claim)
        self._checked = False

    async def cut(
        self,
        link: str,
        mode: Mode | str = Mode.CUT,
        *,
        seconds: float = 0.0,
        rate: int = RATE_DEFAULT,
        share: float = SHARE_DEFAULT,
        services: Iterable[str] | None = None,
    ) -> Change:
        """Put a link (or some services over it) into a mode of `infra.containers.packets`.

        `seconds`: delay each way; `rate`: bytes a second each way; `share`: of packets
        lost each way. Raises RulesUnavailable, HoldingUnavailable, KeyError for a link or
        service that there is not, and StackError when a place has no address.
        """
        chosen = Mode(mode)
        await self._check()
        ends = self._ends(link, services)
        if not (ends.origin and ends.destination and ends.ports):
            raise StackError(f"link {link!r} cannot be cut: {ends} leaves nothing to match")
        queue = await self._hold_back(chosen, seconds, rate) if chosen in QUEUED else 0
        measure = Measure(share=share, queue=queue)
        comment = self._claim.comment(link, chosen.value)
        chain = netfilter.chain_of_link(self._claim.stack, link)
        rules = rules_for(chosen, ends, measure, comment, chain)
        return await self._replace(link, rules, self._also(link))

    async def _check(self) -> None:
        if not self._checked:
            addresses = [one for these in self._addresses.values() for one in these]
            await asyncio.to_thread(netfilter.check_available, addresses)
            self._checked = True

    async def _is_reachable(self) -> bool:
        """Say whether links may be broken from here: where one was, what fails now is to be told."""
        return self._checked or await asyncio.to_thread(netfilter.is_reachable)

    async def heal(self, link: str | None = None) -> Change:
        """Open a link again, or all of them."""
        if link is not None:
            self._topology.link(link)
        if not await self._is_reachable():  # nothing can have been cut from here
            return Change(took_seconds=0.0, rules=0)
        return await self._replace(link, {})

    async def broken(self) -> list[Broken]:
        """Return what is not open, also what another process of ours broke."""
        if not await self._is_reachable():
            return []
        table = await asyncio.to_thread(netfilter.read)
        chains = table.of_stack(self._chain)
        said = [rule.comment for chain in chains if chain != self._chain for rule in table.of(chain)]
        kinds = sorted({(one.link, one.mode) for one in said if one})
        return [Broken(link=link, mode=mode) for link, mode in kinds]

    async def close(self) -> None:
        """Open every link and leave nothing of ours among the machine's rules."""
        if await self._is_reachable():
            await asyncio.to_thread(netfilter.remove, of_stack(self._claim.stack))
        await asyncio.to_thread(self._holders.end, None)

    async def _replace(
        self, link: str | None, rules: Mapping[str, Sequence[str]], also: tuple[str, ...] = ()
    ) -> Change:
        begun = time.monotonic()
        freed = await asyncio.to_thread(netfilter.replace_rules, self._claim, link, rules)
        took = time.monotonic() - begun
        if queues := queues_of(freed):
            await asyncio.to_thread(self._holders.end, queues)
        return Change(took_seconds=took, rules=sum(map(len, rules.values())), also=also)

    async def _hold_back(self, mode: Mode, seconds: float, rate: int) -> int:
        pace = {
            Mode.DELAY: Pace(seconds=seconds),
            Mode.SLOW: Pace(seconds=seconds, jitter=seconds / 2),
            Mode.NARROW: Pace(seconds=seconds, rate=rate),
        }[mode]
        return await asyncio.to_thread(self._holders.begin, pace)

    @property
    def _chain(self) -> str:
        return netfilter.chain_of(self._claim.stack)

    def _ends(self, link: str, services: Iterable[str] | None = None) -> Ends:
        found = self._topology.link(link)
        wanted = found.services if services is None else tuple(services)
        return Ends(
            origin=self._addresses.get(found.origin, ()),
            destination=self._addresses.get(found.destination, ()),
            ports=[self._ports[service] for service in wanted],
        )

    def _also(self, link: str) -> tuple[str, ...]:
        return also_hit(link, {one.name: self._ends(one.name) for one in self._topology.links})


def ends(addresses: Addresses) -> tuple[Mapping[str, list[str]], Mapping[str, int]]:
    """Return the addresses of each place on the networks that join places, and the ports."""
    networks = {place: (place, LINK, WITNESS) for place in addresses.topology.places}
    kinds = ("postgres", "s3", "platform", "worker", "agent")
    found = {
        place: [addresses.own(place, kind, network) for network in dict.fromkeys(joined) for kind in kinds]
        for place, joined in networks.items()
    }
    here = [addresses.gateway(network) for network in (*addresses.topology.places, LINK)]
    found |= {OPERATOR: here, CLIENTS: here}
    return found, {service.value: addresses.port(service) for service in Service}
