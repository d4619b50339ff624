"""Sessions: whoever was logged in stays so."""

from drill.checkers.surviving.tally import Tally


def sessions(tally: Tally) -> None:
    """Judge `sessions` and `users` against every log-in that gave a token."""
    for operation in tally.history.of("log_in"):
        token = operation.answered.get("token")
        if not operation.ok or token is None:
            continue
        row = tally.stores.sessions.get(str(token))
        if row is None:
            if not tally.hidden(operation, "sessions", token):
                what = f"the session of {operation.key} is lost: its token is not at {tally.stores.site}"
                tally.wrong("lost_sessions", operation, what)
        elif row.user_name != operation.key:
            what = f"the session of {operation.key} belongs to {row.user_name} at {tally.stores.site}"
            tally.wrong("wrong_sessions", operation, what)
        elif row.user_name not in tally.stores.users:
            what = f"user {operation.key} has a session at {tally.stores.site}, and is not in its users"
            tally.wrong("lost_users", operation, what)
