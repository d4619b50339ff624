"""One wrong thing at a time, planted in what was found at the serving site."""

from collections.abc import Callable
from dataclasses import replace

from drill.checkers import Evidence
from drill.stores import (
    CommentRow,
    LedgerRow,
    LikeRow,
    QueueRow,
    RequestRow,
    SessionRow,
    SiteStores,
    UserRow,
)
from resilience_tests.spec.checkers.story import Told, changed, digest

Damage = Callable[[Told, Evidence], Evidence]


def serving_of(evidence: Evidence) -> SiteStores:
    assert evidence.serving is not None
    return evidence.serving


def lost_post(tale: Told, found: Evidence) -> Evidence:
    posts = {key: row for key, row in serving_of(found).posts.items() if key != tale.post}
    return changed(found, posts=posts)


def returned_post(tale: Told, found: Evidence) -> Evidence:
    row = replace(serving_of(found).posts[tale.post], id=tale.deleted, request_id="r-2")
    return changed(found, posts={**serving_of(found).posts, tale.deleted: row})


def unexpected_post(tale: Told, found: Evidence) -> Evidence:
    row = replace(serving_of(found).posts[tale.post], id="p-x", request_id="r-x")
    return changed(found, posts={**serving_of(found).posts, "p-x": row})


def duplicated_post(tale: Told, found: Evidence) -> Evidence:
    row = replace(serving_of(found).posts[tale.post], id="p-x")
    return changed(found, posts={**serving_of(found).posts, "p-x": row})


def altered(tale: Told, found: Evidence, **fields: object) -> Evidence:
    row = replace(serving_of(found).posts[tale.post], **fields)  # type: ignore[arg-type]
    return changed(found, posts={**serving_of(found).posts, tale.post: row})


def overwritten_by_an_older_edit(tale: Told, found: Evidence) -> Evidence:
    return altered(tale, found, title="first", caption="a caption", tags=("one", "two"))


def torn_edit(tale: Told, found: Evidence) -> Evidence:
    return altered(tale, found, caption="a caption")


def wrong_author(tale: Told, found: Evidence) -> Evidence:
    return altered(tale, found, author="eve")


def lost_sound(tale: Told, found: Evidence) -> Evidence:
    return altered(tale, found, audio="")


def row_of_other_bytes(tale: Told, found: Evidence) -> Evidence:
    return altered(tale, found, sha256=digest(b"r-7"), object_key=f"objects/{digest(b'r-7')}")


def fewer_views(tale: Told, found: Evidence) -> Evidence:
    return altered(tale, found, views=0)


def more_views(tale: Told, found: Evidence) -> Evidence:
    return altered(tale, found, views=2)


def miscounted_likes(tale: Told, found: Evidence) -> Evidence:
    return altered(tale, found, likes=0)


def lost_like(tale: Told, found: Evidence) -> Evidence:
    return altered(tale, changed(found, likes={}), likes=0)


def unexpected_like(tale: Told, found: Evidence) -> Evidence:
    pair = (tale.post, "eve")
    likes = {**serving_of(found).likes, pair: LikeRow(post_id=pair[0], user_name=pair[1])}
    return altered(tale, changed(found, likes=likes), likes=2)


def like_that_outlived_its_post(tale: Told, found: Evidence) -> Evidence:
    pair = (tale.deleted, "bob")
    return changed(
        found, likes={**serving_of(found).likes, pair: LikeRow(post_id=pair[0], user_name=pair[1])}
    )


def lost_comment(tale: Told, found: Evidence) -> Evidence:
    return changed(found, comments={})


def with_comments(found: Evidence, *rows: CommentRow) -> Evidence:
    return changed(found, comments={**serving_of(found).comments, **{row.id: row for row in rows}})


def comment_of(found: Evidence) -> CommentRow:
    return next(iter(serving_of(found).comments.values()))


def duplicated_comment(tale: Told, found: Evidence) -> Evidence:
    return with_comments(found, replace(comment_of(found), id=99))


def unexpected_comment(tale: Told, found: Evidence) -> Evidence:
    return with_comments(found, replace(comment_of(found), id=99, request_id="r-x"))


def changed_comment(tale: Told, found: Evidence) -> Evidence:
    return with_comments(found, replace(comment_of(found), body="nasty"))


def renumbered_comment(tale: Told, found: Evidence) -> Evidence:
    return changed(found, comments={99: replace(comment_of(found), id=99)})


def comment_parted_from_its_post(tale: Told, found: Evidence) -> Evidence:
    posts = {key: row for key, row in serving_of(found).posts.items() if key != tale.other_post}
    return changed(found, posts=posts)


def entry_of(found: Evidence) -> LedgerRow:
    return next(iter(serving_of(found).ledger.values()))


def lost_earning(tale: Told, found: Evidence) -> Evidence:
    return changed(found, ledger={})


def paid_twice(tale: Told, found: Evidence) -> Evidence:
    return changed(found, ledger={**serving_of(found).ledger, 99: replace(entry_of(found), id=99)})


def paid_for_nothing(tale: Told, found: Evidence) -> Evidence:
    entry = replace(entry_of(found), id=99, request_id="r-x")
    return changed(found, ledger={**serving_of(found).ledger, 99: entry})


def paid_too_little(tale: Told, found: Evidence) -> Evidence:
    return changed(found, ledger={entry_of(found).id: replace(entry_of(found), cents=249)})


def paid_for_another_post(tale: Told, found: Evidence) -> Evidence:
    return changed(found, ledger={entry_of(found).id: replace(entry_of(found), post_id=tale.deleted)})


def never_queued(tale: Told, found: Evidence) -> Evidence:
    return changed(found, queue={})


def queued_twice(tale: Told, found: Evidence) -> Evidence:
    entry = QueueRow(id=99, post_id=tale.post, state="waiting")
    return changed(found, queue={**serving_of(found).queue, 99: entry})


def queued_for_no_post(tale: Told, found: Evidence) -> Evidence:
    entry = QueueRow(id=99, post_id=tale.deleted, state="waiting")
    return changed(found, queue={**serving_of(found).queue, 99: entry})


def logged_out(tale: Told, found: Evidence) -> Evidence:
    return changed(found, sessions={})


def somebody_elses_session(tale: Told, found: Evidence) -> Evidence:
    rows = {token: replace(row, user_name="eve") for token, row in serving_of(found).sessions.items()}
    return changed(found, sessions=rows)


def forgotten_user(tale: Told, found: Evidence) -> Evidence:
    return changed(found, users={})


def session_of_nobody(tale: Told, found: Evidence) -> Evidence:
    row = SessionRow(token="s-x", user_name="ann")
    return changed(found, sessions={**serving_of(found).sessions, row.token: row})


def user_of_nowhere(tale: Told, found: Evidence) -> Evidence:
    return changed(found, users={**serving_of(found).users, "eve": UserRow(name="eve")})


def forgotten_request(tale: Told, found: Evidence) -> Evidence:
    rows = {request: row for request, row in serving_of(found).requests.items() if request != "r-5"}
    return changed(found, requests=rows)


def request_of_nobody(tale: Told, found: Evidence) -> Evidence:
    row = RequestRow(request_id="r-x")
    return changed(found, requests={**serving_of(found).requests, row.request_id: row})


def made_by_another_request(tale: Told, found: Evidence) -> Evidence:
    return altered(tale, found, request_id="r-x")


LOSSES = [
    (lost_post, "lost_posts"),
    (returned_post, "returned_posts"),
    (unexpected_post, "unexpected_posts"),
    (duplicated_post, "duplicated_posts"),
    (overwritten_by_an_older_edit, "wrong_posts"),
    (torn_edit, "wrong_posts"),
    (wrong_author, "wrong_posts"),
    (lost_sound, "wrong_posts"),
    (row_of_other_bytes, "wrong_posts"),
    (fewer_views, "miscounted_views"),
    (more_views, "miscounted_views"),
    (miscounted_likes, "miscounted_likes"),
    (lost_like, "lost_post_likes"),
    (unexpected_like, "unexpected_post_likes"),
    (lost_comment, "lost_comments"),
    (duplicated_comment, "duplicated_comments"),
    (unexpected_comment, "unexpected_comments"),
    (changed_comment, "wrong_comments"),
    (renumbered_comment, "wrong_comments"),
    (comment_parted_from_its_post, "parted_comments"),
    (lost_earning, "lost_ledger"),
    (paid_twice, "duplicated_ledger"),
    (paid_for_nothing, "unexpected_ledger"),
    (paid_too_little, "wrong_ledger"),
    (never_queued, "lost_queue"),
    (queued_twice, "duplicated_queue"),
    (queued_for_no_post, "parted_queue"),
    (logged_out, "lost_sessions"),
    (somebody_elses_session, "wrong_sessions"),
    (forgotten_user, "lost_users"),
    (session_of_nobody, "unexpected_sessions"),
    (user_of_nowhere, "unexpected_users"),
    (forgotten_request, "lost_requests"),
    (request_of_nobody, "unexpected_requests"),
    (made_by_another_request, "wrong_posts"),
    (like_that_outlived_its_post, "parted_post_likes"),
    (paid_for_another_post, "wrong_ledger"),
]
