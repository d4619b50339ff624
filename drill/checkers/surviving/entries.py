"""Comments and ledger entries: each acknowledged one is there exactly once, as it was sent."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from drill.checkers.surviving.tally import Tally
from drill.history import Operation


class Entry(NamedTuple):
    """A row of either table, reduced to what its operation asked for."""

    id: int
    request: str
    said: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One of the two tables, and the operations that write to it."""

    name: str
    singular: str
    answer: str  #: the field of the answer that holds the new row's id
    entries: Sequence[Entry]
    before: frozenset[str]  #: requests whose rows were there before the drill
    operations: Mapping[str, tuple[Operation, tuple[object, ...]]]  #: by request, with what was asked


def comments(tally: Tally) -> None:
    """Judge `comments` as a set; a comment goes with its post when that is deleted."""
    asked = {}
    for operation in tally.history.of("comment"):
        if operation.possible:
            sent = operation.invoke.value or {}
            said = operation.key, sent.get("user"), sent.get("body")
            asked[operation.invoke.request or ""] = operation, said
    entries = [
        Entry(row.id, row.request_id, (row.post_id, row.author, row.body))
        for row in tally.stores.comments.values()
    ]
    before = frozenset(row.request_id for row in tally.before.comments.values())
    _judge(tally, Table("comments", "comment", "comment", entries, before, asked))
    _parted(tally, "comments", ((row.id, row.post_id) for row in tally.stores.comments.values()))


def ledger(tally: Tally) -> None:
    """Judge `ledger`: money outlives its post, so nothing excuses a missing entry."""
    asked = {}
    for operation in tally.history.of("earn"):
        if operation.possible:
            sent = operation.invoke.value or {}
            asked[operation.invoke.request or ""] = (
                operation,
                (sent.get("account", operation.key), sent.get("cents"), sent.get("post") or ""),
            )
    entries = [
        Entry(row.id, row.request_id, (row.account, row.cents, row.post_id))
        for row in tally.stores.ledger.values()
    ]
    before = frozenset(row.request_id for row in tally.before.ledger.values())
    _judge(tally, Table("ledger", "ledger entry", "entry", entries, before, asked))


def _judge(tally: Tally, table: Table) -> None:
    found = _by_request(table.entries)
    for request, (operation, asked) in table.operations.items():
        rows = found.get(request)
        if rows:
            _present(tally, table, operation, asked, rows)
        elif operation.ok:
            _absent(tally, table, operation)
    for request in sorted(found.keys() - table.operations.keys() - table.before):
        what = (
            f"{table.singular} {found[request][0].id} is at {tally.stores.site}, and no client's request "
            f"made it, or that was refused (request {request!r})"
        )
        tally.foreign(f"unexpected_{table.name}", str(found[request][0].id), what)


def _by_request(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        rows = found.get(entry.request)
        if rows is None:
            found[entry.request] = [entry]
        else:
            rows.append(entry)
    return found


def _absent(tally: Tally, table: Table, operation: Operation) -> None:
    if table.name == "comments" and tally.record.may_be_deleted(operation.key):
        return
    entry = operation.answered.get(table.answer)
    post = operation.key if table.name == "comments" else None
    if tally.hidden(operation, table.name, entry, operation.invoke.request, post=post):
        return
    what = (
        f"{table.singular} {entry} of request {operation.invoke.request} is lost: not at {tally.stores.site}"
    )
    tally.lost(f"lost_{table.name}", operation, what, key=str(entry))


def _present(
    tally: Tally, table: Table, operation: Operation, asked: tuple[object, ...], rows: Sequence[Entry]
) -> None:
    first, answered = rows[0], operation.answered.get(table.answer)
    if len(rows) == 1 and operation.ok and first.said == asked and answered in (None, first.id):
        return
    if len(rows) > 1:
        what = (
            f"request {operation.invoke.request} made {len(rows)} of {table.name} "
            f"at {tally.stores.site}: {[row.id for row in rows]}"
        )
        tally.wrong(f"duplicated_{table.name}", operation, what, key=str(first.id))
    if not operation.ok:
        tally.counts[f"recovered_{table.name}"] += 1
    if first.said != asked:
        what = f"{table.singular} {first.id} at {tally.stores.site} says {first.said!r}, sent was {asked!r}"
        tally.wrong(f"wrong_{table.name}", operation, what, key=str(first.id))
    if operation.ok and answered is not None and all(row.id != answered for row in rows):
        what = f"{table.singular} {answered}, as acknowledged, is {first.id} at {tally.stores.site}"
        tally.wrong(f"wrong_{table.name}", operation, what, key=str(answered))


def _parted(tally: Tally, table: str, rows: Iterable[tuple[int, str]]) -> None:
    """Find rows whose post is not there: with foreign keys checked there can be none."""
    held = tally.stores.hidden.get("posts", {})
    for row, post in rows:
        if post not in tally.stores.posts and post not in held:
            what = f"{table} {row} is at {tally.stores.site}, and its post {post} is not"
            tally.foreign(f"parted_{table}", str(row), what)
