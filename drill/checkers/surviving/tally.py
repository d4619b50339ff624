"""What was found to be wrong, while the parts go through their rows."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from drill.checkers.evidence import Announced, Evidence
from drill.checkers.record import PostRecord, hidden_reason, integer, record_of, witness
from drill.checkers.stranding import acknowledged_after, acknowledged_later, strandable
from drill.history import History, Operation
from drill.stores import SiteStores
from drill.verdict import Finding, Witness, finding

UNCONTESTED = frozenset({"earn", "log_in"})
"""In these no two sites contradict each other: nobody changes or deletes a row of theirs, or its parent."""


@dataclass(frozen=True, slots=True)
class Missing:
    """An acknowledged write that is not there, and that the announced bound may cover."""

    operation: Operation
    count: str
    what: str
    key: str | None


@dataclass(frozen=True, slots=True)
class Tally:
    """Collects witnesses and counts for one site's stores."""

    history: History
    record: PostRecord
    stores: SiteStores
    before: SiteStores
    conflicts_expected: bool = False
    announced: Announced | None = None  #: of a site that stayed away
    strandable: frozenset[int] = frozenset()  #: lines of the invokes that its bound covers
    apart: frozenset[int] = frozenset()  #: the same of a site that was left, also when it came back
    unread: frozenset[int] = frozenset()  #: lines of the invokes acknowledged after the stores were read
    elsewhere: frozenset[int] = frozenset()  #: lines of the invokes that only its peer can have
    left: "Tally | None" = None  #: of the site that was left, where its tail must lie; None: nobody can look
    violations: list[Witness] = field(default_factory=list)
    doubts: list[Witness] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def look(self, *parts: "Callable[[Tally], None]") -> None:
        """Let each part go through the rows, and through those of the site that was left."""
        for part in parts:
            part(self)
            if self.left is not None:
                part(self.left)

    def wrong(self, count: str, operation: Operation, what: str, *, key: str | None = None) -> None:
        """Note that the promise made to `operation` is broken."""
        self.counts[count] += 1
        self.violations.append(witness(operation, what, key=key))

    def _blame(self, count: str, operation: Operation, what: str, key: str | None) -> None:
        if count == "lost_ledger":
            self.counts["lost_cents"] += integer(operation.asked.get("cents")) or 0
        self.wrong(count, operation, what, key=key)

    def foreign(self, count: str, key: str, what: str) -> None:
        """Note something that no operation accounts for."""
        self.counts[count] += 1
        self.violations.append(Witness(what=what, key=key, site=self.stores.site))

    def lost(self, count: str, operation: Operation, what: str, *, key: str | None = None) -> None:
        """Note that the effect of `operation` is not there; `finding` tells lost from stranded."""
        if operation.begins in self.unread:
            self.counts["never_read"] += 1
            late = f"{what}; but it was acknowledged after the stores were read"
            self.doubts.append(witness(operation, late, key=key))
        elif operation.begins in self.strandable:
            self.missing.append(Missing(operation, count, what, key))
        else:
            self._blame(count, operation, what, key)

    def optional(self, operation: Operation) -> bool:
        """Whether the effect of an acknowledged `operation` may be missing without being lost."""
        return operation.begins in self.strandable or operation.begins in self.unread

    def hidden(
        self,
        operation: Operation,
        table: str,
        *keys: object,
        post: str | None = None,
        count: str | None = None,
    ) -> bool:
        """Note the row as hidden if the engine lists it, or its `post`, as held back; say whether it does."""
        reason = hidden_reason(self.stores, table, *keys) or hidden_reason(self.stores, "posts", post)
        if reason is None:
            return False
        self.counts[count or f"hidden_{table}"] += 1
        what = f"acknowledged, and hidden at {self.stores.site}: {table} {keys[0]} is held back ({reason})"
        if not self.conflicts_expected or operation.invoke.f in UNCONTESTED:
            self.doubts.append(witness(operation, what, key=str(keys[0])))
        return True

    def finding(self, checker: str) -> Finding:
        """Conclude: of what is missing, no more than was announced is stranded; the oldest rest is lost.

        What is not at the site that was left either, nor on its disk, is lost.
        """
        times = {missing.operation.begins: missing.operation.ends for missing in self.missing}
        oldest_first = sorted(times, key=times.__getitem__)
        limit = self.announced.transactions if self.announced else None
        excess = frozenset(oldest_first[: max(0, len(oldest_first) - limit)] if limit is not None else ())
        nowhere = frozenset(one.operation.begins for one in self.left.missing) if self.left else frozenset()
        for missing in self.missing:
            self._settle(missing, excess, nowhere)
        return finding(checker, violations=self.violations, doubts=self.doubts, counts=self.counts)

    def _settle(self, missing: Missing, excess: frozenset[int], nowhere: frozenset[int]) -> None:
        if missing.operation.begins in excess:
            what = f"{missing.what}; more is missing than was announced"
            self._blame(missing.count, missing.operation, what, missing.key)
            return
        if self.left is not None and missing.operation.begins in nowhere:
            what = f"{missing.what}, nor at {self.left.stores.site}, which had acknowledged it"
            self._blame(missing.count, missing.operation, what, missing.key)
            return
        self.counts[missing.count.replace("lost_", "stranded_").replace("returned_", "stranded_")] += 1
        where = f"at {self.left.stores.site}" if self.left else "at the site that died"
        what = f"{missing.what}; announced as stranded {where}"
        self.doubts.append(witness(missing.operation, what, key=missing.key))


def tally_of(history: History, evidence: Evidence) -> Tally | None:
    """Return an empty tally of the serving site's stores; None when they could not be read."""
    if evidence.serving is None:
        return None
    known = Tally(
        history,
        record_of(history),
        evidence.serving,
        evidence.before or SiteStores(site=evidence.serving.site),
        evidence.conflicts_expected,
        evidence.stranded,
        strandable(history, evidence.stranded),
        strandable(history, evidence.announced),
        acknowledged_after(history, evidence.read_at),
    )
    if evidence.left is None:
        return known
    later = acknowledged_later(history, evidence.stranded)
    fresh = replace(known, violations=[], doubts=[], missing=[], counts=Counter())
    return replace(known, left=replace(fresh, stores=evidence.left, elsewhere=later))
