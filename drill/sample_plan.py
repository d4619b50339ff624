"""The plan that moves the sample platform: what a user would write for their own tables."""

from cutover.model.plan import Gates, Lease, MergeRule, ObjectOf, Order, Plan, Table


def sample_plan(*, source: str = "east", target: str = "west", drain_seconds: float = 4.0) -> Plan:
    """Move the sample platform's tables from `source` to `target`.

    The deadline of a drain is short, so that a drill whose target dies in one
    does not wait long for the source to get its writes back (seconds).
    """
    append = MergeRule.APPEND
    posts = Table(
        name="posts",
        key=("id",),
        merge=MergeRule.RECORD,
        counters=("likes", "views"),
        objects=(ObjectOf(key_column="object_key", digest_column="sha256"),),
    )
    tables = (
        Table(name="users", key=("name",), merge=append),
        Table(name="sessions", key=("token",), merge=append),
        posts,
        Table(name="post_likes", key=("post_id", "user_name"), merge=append),
        Table(name="requests", key=("request_id",), merge=append),
        Table(name="comments", key=("id",), merge=append),
        Table(name="ledger", key=("id",), merge=append),
        Table(
            name="queue",
            key=("id",),
            merge=MergeRule.QUEUE,
            order=Order(column="state", values=("waiting", "done")),
        ),
    )
    return Plan(
        name="sample",
        source=source,
        target=target,
        tables=tables,
        gates=Gates(drain_seconds=drain_seconds),
        lease=Lease(seconds=3.0, margin=0.5),
    )
