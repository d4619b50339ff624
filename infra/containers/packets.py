"""What each mode of a link means for packets: pure, from addresses and ports to rules.

A link carries the connections that its origin begins. *To* are the packets of
these towards the destination's service ports, *back* are the answers. A mode acts
on packets as a network does, so it differs from the relays of the embedded stack:

  cut, hang  nothing passes either way. What was sent is sent again by TCP and arrives after
             the heal, at the next of its attempts, which lie further and further apart
  cut-to     nothing passes to the destination; its answers do
  cut-back   the answers are lost: what was asked is done, and nobody is told
  refuse     new connections are refused; a standing one is reset when it next carries something
  reset      the same, but new ones are accepted, and reset with their first data
  delay      each packet arrives `seconds` later, each way
  slow       the same, spread evenly over 0.5 to 1.5 times `seconds`; each flow keeps its order
  lossy      a `share` of the packets is lost, each way
  narrow     `rate` bytes a second pass, each way; what is above waits
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

SHARE_DEFAULT = 0.1
RATE_DEFAULT = 125_000
"""Bytes a second of a narrow link when nothing is said: one megabit."""


class Mode(StrEnum):
    """What a link does to the packets over it; a superset of the relays' modes."""

    OPEN = "open"
    CUT = "cut"
    CUT_TO = "cut-to"
    CUT_BACK = "cut-back"
    HANG = "hang"
    REFUSE = "refuse"
    RESET = "reset"
    DELAY = "delay"
    SLOW = "slow"
    LOSSY = "lossy"
    NARROW = "narrow"


QUEUED = (Mode.DELAY, Mode.SLOW, Mode.NARROW)
"""Modes that need a program which holds packets back."""

_QUEUE = re.compile(r"--queue-num (\d+)")
_UNLESS_RESET = "! --tcp-flags RST RST"
_REJECT = "-j REJECT --reject-with tcp-reset"
_WITH_DATA = (
    "-m tcp --tcp-flags PSH,RST PSH",
    "-m tcp --tcp-flags FIN,RST FIN",
    "-m length --length 121:65535",
)
"""A packet that carries something; the longest header without data has 120 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """The addresses at both ends of a link, and the ports that it reaches."""

    origin: Sequence[str]
    destination: Sequence[str]
    ports: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """How much of a mode: what the mode has no use for is left alone."""

    share: float = SHARE_DEFAULT  #: of packets lost, 0 to 1
    queue: int = 0  #: where packets are held back


def rules_for(mode: Mode, ends: Ends, measure: Measure, comment: str, chain: str) -> dict[str, list[str]]:
    """Return the rules that put a link into a mode, by chain.

    `chain` finds the packets of the link's connections at its origin; the chains
    behind it, one for each way, find the destination and act.
    """
    why = f'-m comment --comment "{comment}"'
    ports = ",".join(str(port) for port in sorted(set(ends.ports)))
    to, back = mode not in (Mode.OPEN, Mode.CUT_BACK), mode not in (Mode.OPEN, Mode.CUT_TO)
    finding = [
        *(f"-s {one}/32 -p tcp -m multiport --dports {ports} {why} -j {chain}t" for one in ends.origin if to),
        *(
            f"-d {one}/32 -p tcp -m multiport --sports {ports} {why} -j {chain}b"
            for one in ends.origin
            if back
        ),
    ]
    acts = _acts(mode, measure)
    acting = {
        f"{chain}t": [f"-d {one}/32 -p tcp {why} {act}" for one in ends.destination for act in acts if to],
        f"{chain}b": [f"-s {one}/32 -p tcp {why} {act}" for one in ends.destination for act in acts if back],
    }
    return {chain: finding, **acting}


def _acts(mode: Mode, measure: Measure) -> Sequence[str]:
    match mode:
        case Mode.OPEN:
            return ()
        case Mode.CUT | Mode.CUT_TO | Mode.CUT_BACK | Mode.HANG:
            return ("-j DROP",)
        case Mode.REFUSE:
            return (f"-m tcp {_UNLESS_RESET} {_REJECT}",)
        case Mode.RESET:
            return tuple(f"{carrying} {_REJECT}" for carrying in _WITH_DATA)
        case Mode.DELAY | Mode.SLOW | Mode.NARROW:
            return (f"-j NFQUEUE --queue-num {measure.queue} --queue-bypass",)
        case Mode.LOSSY:
            return (f"-m statistic --mode random --probability {measure.share:.9f} -j DROP",)


def queues_of(rules: Iterable[str]) -> set[int]:
    """Return the queues that these rules hand packets to."""
    return {int(found) for rule in rules for found in _QUEUE.findall(rule)}


def also_hit(link: str, links: Mapping[str, Ends]) -> tuple[str, ...]:
    """Return the other links that packets cannot tell from this one: same ends, same addresses.

    The operator and the clients share the host's address, unless the stack gives
    one of them another.
    """
    mine = links[link]
    return tuple(
        name
        for name, other in links.items()
        if name != link
        and set(other.origin) & set(mine.origin)
        and set(other.destination) & set(mine.destination)
        and set(other.ports) & set(mine.ports)
    )
