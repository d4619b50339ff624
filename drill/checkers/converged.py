"""Once all is healed and the stream has caught up, both sites show the same."""

from collections import Counter
from collections.abc import Iterator, Mapping

from drill.checkers.evidence import Evidence
from drill.checkers.record import PostRecord, hidden_reason, record_of, unread, witness
from drill.history import History
from drill.stores import SiteStores
from drill.verdict import Finding, Witness, finding

NAME = "converged"

Table = dict[str, object]


def converged(history: History, evidence: Evidence) -> Finding:
    """Compare the sites row by row while one follows the other.

    After `complete` or a roll back the other site no longer follows; then the
    serving site must have every acknowledged post that the other one has.
    Before catch-up there is nothing to compare, so nothing is concluded. It is
    demanded only once a core is healed and its bound is over; a site that
    stays away for good leaves a core of one, which is like itself. A fault that
    still stands, or a site that is there and was not taken back, is in doubt.
    """
    if not evidence.stage:
        return finding(NAME)
    if evidence.serving is None:
        return unread(NAME)
    if unfinished := _unfinished(history, evidence):
        return finding(NAME, doubts=unfinished)
    if evidence.stranded is not None:
        return finding(NAME, counts={"different": 0})
    if evidence.other is None:
        return unread(NAME, site="the other site")
    if evidence.follows and not evidence.serving_is_up:
        what = f"{evidence.serving.site} serves and stayed away, so nothing could come from it any more"
        return finding(NAME, doubts=[Witness(what=what, site=evidence.serving.site)])
    if evidence.follows:
        return _compare(evidence.serving, evidence.other, too_early=_too_early(history, evidence))
    if evidence.complete or evidence.stage in ("complete", "rolled_back"):
        left = list(_left_behind(record_of(history), evidence.serving, evidence.other))
        return finding(NAME, violations=left, counts={"different": len(left)})
    what = f"the migration ended in {evidence.stage}, in which the other site has not everything yet"
    return finding(NAME, doubts=[Witness(what=what)])


def _unfinished(history: History, evidence: Evidence) -> list[Witness]:
    """Return what was to be over before both sites were read, and was not, though both are there."""
    if evidence.other is None or not evidence.serving_is_up:
        return []
    if evidence.unlisted:
        what = f"{evidence.other.site} is there, and has not come home since it was left"
        return [Witness(what=what, site=evidence.other.site)]
    healed = Counter((heal.name, heal.victim) for heal in history.heals)
    doubts = []
    for fault in history.faults:
        healed[fault.name, fault.victim] -= 1
        if healed[fault.name, fault.victim] < 0:
            what = f"{fault.name} of {fault.victim} ({fault.t:.3f} s) was never healed, as far as is known"
            doubts.append(Witness(what=what, key=fault.name, site=fault.victim))
    return doubts


def tables_of(stores: SiteStores) -> dict[str, Table]:
    """Return every table of `stores`, its rows by their keys as text."""
    return {
        "users": _by_text(stores.users),
        "sessions": _by_text(stores.sessions),
        "posts": _by_text(stores.posts),
        "post_likes": {"/".join(pair): row for pair, row in stores.likes.items()},
        "comments": _by_text(stores.comments),
        "ledger": _by_text(stores.ledger),
        "queue": _by_text(stores.queue),
        "requests": _by_text(stores.requests),
    }


def _by_text(rows: Mapping[str, object] | Mapping[int, object]) -> Table:
    return {str(key): row for key, row in rows.items()}


def _too_early(history: History, evidence: Evidence) -> str | None:
    """Return why the sites need not be alike yet; None when they must be."""
    bound = evidence.converged_within
    if bound is None:
        return None
    if evidence.healed_at is None and history.faults:
        return "no core was healed, so nothing but safety may be demanded"
    if evidence.read_at is not None and evidence.read_at < (evidence.healed_at or 0.0) + bound:
        return f"the stores were read before {bound} s had gone by since a core was healed"
    return None


def _compare(serving: SiteStores, other: SiteStores, *, too_early: str | None) -> Finding:
    violations: list[Witness] = []
    doubts: list[Witness] = []
    there = tables_of(other)
    for table, here in tables_of(serving).items():
        for key, what in differences(table, here, there[table], (serving.site, other.site)):
            reason = hidden_reason(other, table, key) or hidden_reason(serving, table, key)
            if reason is None:
                violations.append(Witness(what=what, key=key, site=other.site))
            else:
                doubts.append(Witness(what=f"{what} (held back: {reason})", key=key, site=other.site))
    counts = {"different": len(violations), "hidden": len(doubts)}
    if too_early is not None and violations:
        first = violations[0]
        doubts.append(Witness(what=f"{first.what}; {too_early}", key=first.key, site=first.site))
        violations = []
    return finding(NAME, violations=violations, doubts=doubts, counts=counts)


def differences(table: str, here: Table, there: Table, sites: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the key of each row that is not the same here and there, and how it differs."""
    for key, row in here.items():
        peer = there.get(key)
        if peer is None:
            yield key, f"{table} {key} is at {sites[0]} and not at {sites[1]}"
        elif peer != row:
            yield key, f"{table} {key} differs in {', '.join(_fields(row, peer, sites))}"
    for key in sorted(there.keys() - here.keys()):
        yield key, f"{table} {key} is at {sites[1]} and not at {sites[0]}, which serves"


def _fields(row: object, peer: object, sites: tuple[str, str]) -> Iterator[str]:
    for name in type(row).__dataclass_fields__:  # type: ignore[attr-defined]
        one, two = getattr(row, name), getattr(peer, name)
        if one != two:
            yield f"{name} ({one!r} at {sites[0]}, {two!r} at {sites[1]})"


def _left_behind(record: PostRecord, serving: SiteStores, other: SiteStores) -> Iterator[Witness]:
    for post in sorted(other.posts.keys() - serving.posts.keys()):
        if record.must_exist(post) and not hidden_reason(serving, "posts", post):
            what = f"post {post} was left behind at {other.site}: it is not at {serving.site}"
            yield witness(record.uploads[post], what, key=post, site=serving.site)
