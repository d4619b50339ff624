"""What was found to be wrong, while the parts go through their rows."""

from collections import Counter
from dataclasses import dataclass, field

from drill.checkers.record import PostRecord, hidden_reason, witness
from drill.history import History, Operation
from drill.stores import SiteStores
from drill.verdict import Witness


@dataclass(frozen=True, slots=True)
class Tally:
    """Collects witnesses and counts for one site's stores."""

    history: History
    record: PostRecord
    stores: SiteStores
    before: SiteStores
    violations: list[Witness] = field(default_factory=list)
    doubts: list[Witness] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def wrong(self, count: str, operation: Operation, what: str, *, key: str | None = None) -> None:
        """Note that the promise made to `operation` is broken."""
        self.counts[count] += 1
        self.violations.append(witness(operation, what, key=key))

    def foreign(self, count: str, key: str, what: str) -> None:
        """Note something that no operation accounts for."""
        self.counts[count] += 1
        self.violations.append(Witness(what=what, key=key, site=self.stores.site))

    def hidden(self, operation: Operation, table: str, *keys: object, post: str | None = None) -> bool:
        """Note the row as hidden if the engine lists it, or its `post`, as held back; say whether it does."""
        reason = hidden_reason(self.stores, table, *keys) or hidden_reason(self.stores, "posts", post)
        if reason is None:
            return False
        self.counts[f"hidden_{table}"] += 1
        what = f"acknowledged, and hidden at {self.stores.site}: {table} {keys[0]} is held back ({reason})"
        self.doubts.append(witness(operation, what, key=str(keys[0])))
        return True
