"""What a checker concludes, and what it shows for it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum


class Verdict(Enum):
    """What is to be said of a promise after a drill.

    Ordered by what matters: one violation outweighs anything, and what nobody
    could find out outweighs what held.
    """

    HELD = "held"  #: looked at, and true
    INCONCLUSIVE = "inconclusive"  #: nobody can say: the evidence is missing, or the fault hit nothing
    VIOLATED = "violated"  #: broken, with a witness

    @property
    def exit_code(self) -> int:
        """The exit status of a command that ends with this verdict."""
        return {Verdict.HELD: 0, Verdict.VIOLATED: 10, Verdict.INCONCLUSIVE: 11}[self]


_WEIGHT = {Verdict.HELD: 0, Verdict.INCONCLUSIVE: 1, Verdict.VIOLATED: 2}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict over several: violated before inconclusive before held.

    Of none it is inconclusive, because a promise that nobody looked at is not held.
    """
    return max(verdicts, key=_WEIGHT.__getitem__, default=Verdict.INCONCLUSIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """One key for which a promise did not hold, or could not be judged."""

    what: str  #: one sentence: what is wrong
    key: str | None = None  #: which post, comment, entry, object or fault
    acknowledged_at: float | None = None  #: seconds since the drill began
    by: str | None = None  #: the client that holds the acknowledgement
    site: str | None = None  #: the site that gave it, or whose stores are wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one checker concludes from one drill."""

    checker: str
    verdict: Verdict
    witnesses: tuple[Witness, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)  #: lost, hidden, duplicated, ... in rows

    @property
    def stranded(self) -> bool:
        """Whether nothing is in doubt but what was announced as stranded: each witness is counted as that."""
        counted = sum(rows for name, rows in self.counts.items() if name.startswith("stranded"))
        return self.verdict is Verdict.INCONCLUSIVE and counted == len(self.witnesses)


def finding(
    checker: str,
    *,
    violations: Iterable[Witness] = (),
    doubts: Iterable[Witness] = (),
    counts: Mapping[str, int] | None = None,
) -> Finding:
    """Conclude: violated if there are violations, else inconclusive if there are doubts, else held."""
    wrong, unclear = tuple(violations), tuple(doubts)
    verdict = Verdict.VIOLATED if wrong else Verdict.INCONCLUSIVE if unclear else Verdict.HELD
    return Finding(checker=checker, verdict=verdict, witnesses=wrong + unclear, counts=counts or {})
