"""Requests that were carried out: a retry that arrives later must find that it was done before."""

from drill.checkers.record import hidden_reason, post_of
from drill.checkers.surviving.tally import Tally
from drill.history import Operation

REMEMBERED = ("upload", "edit", "delete", "view")
"""Whose request is kept in a table of its own: a user may delete the row, or there is none to carry it."""


def requests(tally: Tally) -> None:
    """Judge `requests` as a set. Without its row a view that is sent again counts twice.

    What is stranded, or waits in quarantine with its post, is told by the parts that look at the effect.
    """
    possible = {
        operation.invoke.request or "": operation
        for f in REMEMBERED
        for operation in tally.history.of(f)
        if operation.possible
    }
    for request, operation in possible.items():
        if not operation.ok or request in tally.stores.requests or tally.optional(operation):
            continue
        if hidden_reason(tally.stores, "posts", _post(operation)):
            continue
        if not tally.hidden(operation, "requests", request):
            what = f"that {request} was carried out is forgotten: it is not at {tally.stores.site}"
            tally.lost("lost_requests", operation, what, key=request)
    for request in sorted(tally.stores.requests.keys() - possible.keys() - tally.before.requests.keys()):
        what = f"request {request!r} is at {tally.stores.site} as carried out, and was refused or never sent"
        tally.foreign("unexpected_requests", request, what)


def _post(operation: Operation) -> str:
    return post_of(operation) if operation.invoke.f == "upload" else operation.key
