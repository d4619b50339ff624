"""One request has its effect once, however often it was sent, and at whichever sites."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from drill.checkers.evidence import Evidence
from drill.checkers.record import unread, witness
from drill.history import History, Operation
from drill.stores import SiteStores
from drill.verdict import Finding, Witness, finding

NAME = "duplicates"


def duplicates(history: History, evidence: Evidence) -> Finding:
    """Judge posts, comments, ledger and queue of both sites by the request that made each row."""
    if evidence.serving is None:
        return unread(NAME)
    by_request = {operation.invoke.request: operation for operation in history.operations}
    found = [
        twice
        for stores in (evidence.serving, evidence.other)
        if stores is not None
        for twice in _twice(stores, by_request)
    ]
    return finding(NAME, violations=found, counts={"duplicated": len(found)})


def _twice(stores: SiteStores, by_request: dict[str | None, Operation]) -> Iterator[Witness]:
    for table, made in _made(stores).items():
        rows: dict[str, list[str]] = defaultdict(list)
        for request, key in made:
            rows[request].append(key)
        for request, keys in rows.items():
            if len(keys) > 1 and request:
                what = f"{request} made {len(keys)} rows of {table} at {stores.site}: {', '.join(keys)}"
                operation = by_request.get(request)
                if operation is None:
                    yield Witness(what=what, key=keys[0], site=stores.site)
                else:
                    yield witness(operation, what, key=keys[0], site=stores.site)


def _made(stores: SiteStores) -> dict[str, Iterable[tuple[str, str]]]:
    """Return, for each table, what its rows must not share, with their keys."""
    return {
        "posts": ((row.request_id, key) for key, row in stores.posts.items()),
        "comments": ((row.request_id, str(key)) for key, row in stores.comments.items()),
        "ledger": ((row.request_id, str(key)) for key, row in stores.ledger.items()),
        "queue": ((row.post_id, str(key)) for key, row in stores.queue.items()),
    }
