"""Sessions: whoever was logged in stays so."""

from drill.checkers.office import offices
from drill.checkers.surviving.tally import Tally
from drill.history import Operation


def sessions(tally: Tally) -> None:
    """Judge `sessions` and `users` against every log-in that gave a token."""
    opened: dict[str, Operation] = {}
    for operation in tally.history.of("log_in"):
        token = operation.answered.get("token")
        if operation.ok and token is not None:
            opened[str(token)] = operation
            _kept(tally, operation, str(token))
    _shown(tally, opened)


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
