"""Sessions: whoever was logged in stays so."""

from hashlib import sha256

from drill.checkers.office import offices
from drill.checkers.surviving.tally import Tally
from drill.history import Operation


def sessions(tally: Tally) -> None:
    """Judge `sessions` and `users` against every log-in that gave a token."""
    opened: dict[str, Operation] = {}
    possible: dict[str, Operation] = {}
    for operation in tally.history.of("log_in"):
        if operation.possible:
            possible[token_of(operation)] = operation
        if operation.ok:
            opened[token_of(operation)] = operation
            _kept(tally, operation, token_of(operation))
    _unexpected(tally, possible)
    _shown(tally, opened)


def token_of(log_in: Operation) -> str:
    """Return the token that it gave, or gives to whoever sends it again: it follows from the request id."""
    answered = log_in.answered.get("token")
    if answered is not None:
        return str(answered)
    return "s-" + sha256(f"session {log_in.invoke.request or ''}".encode()).hexdigest()[:40]


def _unexpected(tally: Tally, possible: dict[str, Operation]) -> None:
    """Find who is logged in, or a user, without having asked for it."""
    stores, before = tally.stores, tally.before
    for token in sorted(stores.sessions.keys() - possible.keys() - before.sessions.keys()):
        user = stores.sessions[token].user_name
        what = f"a session of {user} is at {stores.site}, and nobody logged in for it, or was refused"
        tally.foreign("unexpected_sessions", token, what)
    names = {operation.key for operation in possible.values()}
    for user in sorted(stores.users.keys() - names - before.users.keys()):
        tally.foreign("unexpected_users", user, f"user {user} is at {stores.site}, and never logged in")


def _kept(tally: Tally, operation: Operation, token: str) -> None:
    row = tally.stores.sessions.get(token)
    if row is None:
        if not tally.hidden(operation, "sessions", token):
            what = f"the session of {operation.key} is lost: its token is not at {tally.stores.site}"
            tally.lost("lost_sessions", operation, what)
    elif row.user_name != operation.key:
        what = f"the session of {operation.key} belongs to {row.user_name} at {tally.stores.site}"
        tally.wrong("wrong_sessions", operation, what)
    elif row.user_name not in tally.stores.users:
        what = f"user {operation.key} has a session at {tally.stores.site}, and is not in its users"
        tally.lost("lost_users", operation, what)


def _shown(tally: Tally, opened: dict[str, Operation]) -> None:
    """Judge what `session` answered of a token; unknown is a clear retry, and no such session is not."""
    questions = tally.history.of("session")
    office = offices(tally.history) if questions else None
    for asked in questions:
        token = asked.asked.get("token")
        known = opened.get(str(token))
        if known is None or not known.ends < asked.begins:
            continue
        if asked.ok and asked.answered.get("user", known.key) != known.key:
            what = f"the session of {known.key} is answered as one of {asked.answered.get('user')}"
            tally.wrong("wrong_sessions", asked, what)
        elif (
            asked.answered.get("status") == 404
            and office
            and office.speaks(asked)
            and not tally.optional(known)
        ):
            what = f"{known.key} had logged in, and is told that there is no such session"
            tally.wrong("refused_sessions", known, what)
