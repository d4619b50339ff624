"""Which answers speak for the platform: those of the site in office, that do not call themselves stale."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from drill.history import WRITES, History, Kind, Operation

EPOCH_UNKNOWN = -1
"""Stands for the time before any acknowledgement named an epoch."""


@dataclass(frozen=True, slots=True)
class Offices:
    """When each newer epoch's first acknowledgement arrived, and who gave it."""

    lines: Sequence[int]
    epochs: Sequence[int]
    sites: Sequence[str | None]

    def speaks(self, read: Operation) -> bool:
        """Whether an answered read promises to show what was acknowledged before it began.

        One that calls itself stale, degraded or unknown promises nothing.
        Neither does one in an epoch older than one that had acknowledged, or
        without one at a site that was not in office: that site had been
        relieved, and did not know.
        """
        served = read.completion
        if served is None:
            return False
        answer = served.value
        if answer and (answer.get("state", "known") != "known" or answer.get("degraded")):
            return False
        at = bisect_left(self.lines, read.invoke.n) - 1
        if at < 0:
            return True
        if served.epoch is not None:
            return served.epoch >= self.epochs[at]
        return None in (served.site, self.sites[at]) or served.site == self.sites[at]


def offices(history: History) -> Offices:
    """Find who was in office, by the acknowledgements of writes alone.

    Most answers come in the epoch of the one before and after its first, so
    they are passed over unread.
    """
    first: dict[int, tuple[int, str | None]] = {}
    epoch, line = EPOCH_UNKNOWN, -1
    for operation in chain.from_iterable(map(history.of, WRITES)):
        answer = operation.completion
        if answer is None or (answer.epoch == epoch and answer.n > line):
            continue
        if answer.epoch is None or answer.type is not Kind.OK:
            continue
        epoch, line = answer.epoch, answer.n
        known = first.get(epoch)
        if known is None or line < known[0]:
            first[epoch] = line, answer.site
        else:
            line = known[0]
    newest, terms = EPOCH_UNKNOWN, []
    for epoch, (line, site) in sorted(first.items(), key=lambda item: item[1][0]):
        if epoch > newest:
            newest = epoch
            terms.append((line, epoch, site))
    return Offices(
        [line for line, _, _ in terms], [epoch for _, epoch, _ in terms], [site for _, _, site in terms]
    )
