"""A platform that keeps every promise, and clients that record what they saw of it.

Tests let a story happen, then plant one wrong thing in what was found, and see
the checker meant for it object. Nothing here comes from the engine or from the
sample platform: the model is small enough to be right by reading it.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256

from drill.checkers import REGISTRY, Evidence
from drill.history import Event, History, HistoryWriter, Outcome, Value, history_of
from drill.stores import (
    CommentRow,
    LedgerRow,
    LikeRow,
    ObjectFacts,
    PostRow,
    QueueRow,
    RequestRow,
    SessionRow,
    SiteStores,
    UserRow,
)
from drill.verdict import Finding


def post_id(request: str) -> str:
    return "p-" + sha256(request.encode()).hexdigest()[:24]


def session_token(request: str) -> str:
    return "s-" + sha256(f"session {request}".encode()).hexdigest()[:40]


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


class Refused(Exception):
    """The platform certainly did nothing."""


@dataclass
class Platform:
    """Two sites that behave as one; `cut_over` lets the other one serve."""

    site: str = "east"
    epoch: int = 1
    posts: dict[str, PostRow] = field(default_factory=dict)
    likes: dict[tuple[str, str], LikeRow] = field(default_factory=dict)
    comments: dict[int, CommentRow] = field(default_factory=dict)
    ledger: dict[int, LedgerRow] = field(default_factory=dict)
    queue: dict[int, QueueRow] = field(default_factory=dict)
    sessions: dict[str, SessionRow] = field(default_factory=dict)
    users: dict[str, UserRow] = field(default_factory=dict)
    requests: dict[str, RequestRow] = field(default_factory=dict)
    objects: dict[str, ObjectFacts] = field(default_factory=dict)
    ids: int = 0

    def cut_over(self) -> None:
        self.site = "west" if self.site == "east" else "east"
        self.epoch += 1

    def next_id(self) -> int:
        self.ids += 1
        return self.ids

    def apply(self, asked: Event) -> Value:
        value = dict(asked.value or {})
        perform: Callable[[str, str, Value], Value] = getattr(self, "on_" + asked.f)
        return perform(asked.key or "", asked.request or "", value)

    def put_object(self, value: Value) -> str:
        key = f"objects/{value['sha256']}"
        size = value["size"]
        assert isinstance(size, int)
        self.objects[key] = ObjectFacts(size=size, sha256=str(value["sha256"]))
        return key

    def on_upload(self, key: str, request: str, value: Value) -> Value:
        if key in self.posts:
            return {"post": key}
        size, tags = value["size"], value["tags"]
        assert isinstance(size, int)
        assert isinstance(tags, list)
        self.posts[key] = PostRow(
            id=key,
            author=str(value["user"]),
            title=str(value["title"]),
            caption=str(value["caption"]),
            tags=tuple(tags),
            audio=str(value["audio"]),
            object_key=self.put_object(value),
            sha256=str(value["sha256"]),
            size=size,
            request_id=request,
        )
        entry = self.next_id()
        self.queue[entry] = QueueRow(id=entry, post_id=key, state="waiting", request_id=request)
        self.requests[request] = RequestRow(request_id=request)
        return {"post": key}

    def _post(self, key: str) -> PostRow:
        if key not in self.posts:
            raise Refused
        return self.posts[key]

    def on_edit(self, key: str, request: str, value: Value) -> Value:
        tags = value["tags"]
        assert isinstance(tags, list)
        self.posts[key] = replace(
            self._post(key), title=str(value["title"]), caption=str(value["caption"]), tags=tuple(tags)
        )
        self.requests[request] = RequestRow(request_id=request)
        return {}

    def on_delete(self, key: str, request: str, value: Value) -> Value:
        self._post(key)
        del self.posts[key]
        self.requests[request] = RequestRow(request_id=request)
        self.likes = {pair: row for pair, row in self.likes.items() if pair[0] != key}
        self.comments = {number: row for number, row in self.comments.items() if row.post_id != key}
        self.queue = {number: row for number, row in self.queue.items() if row.post_id != key}
        return {}

    def on_like(self, key: str, request: str, value: Value) -> Value:
        row, pair = self._post(key), (key, str(value["user"]))
        if pair not in self.likes:
            self.likes[pair] = LikeRow(post_id=key, user_name=pair[1], request_id=request)
            self.posts[key] = replace(row, likes=row.likes + 1)
        return {}

    def on_view(self, key: str, request: str, value: Value) -> Value:
        row = self._post(key)
        self.requests[request] = RequestRow(request_id=request)
        self.posts[key] = replace(row, views=row.views + 1)
        return {}

    def on_comment(self, key: str, request: str, value: Value) -> Value:
        self._post(key)
        number = self.next_id()
        self.comments[number] = CommentRow(
            id=number, post_id=key, author=str(value["user"]), body=str(value["body"]), request_id=request
        )
        return {"comment": number}

    def on_earn(self, key: str, request: str, value: Value) -> Value:
        number, cents = self.next_id(), value["cents"]
        assert isinstance(cents, int)
        self.ledger[number] = LedgerRow(id=number, post_id="", account=key, cents=cents, request_id=request)
        return {"entry": number}

    def on_log_in(self, key: str, request: str, value: Value) -> Value:
        self.users[key] = UserRow(name=key)
        token = session_token(request)
        self.sessions[token] = SessionRow(token=token, user_name=key)
        return {"token": token}

    def on_get(self, key: str, request: str, value: Value) -> Value:
        row = self._post(key)
        return {
            "title": row.title,
            "caption": row.caption,
            "tags": list(row.tags),
            "views": row.views,
            "likes": row.likes,
            "sha256": self.objects[row.object_key].sha256,
        }

    def on_list(self, key: str, request: str, value: Value) -> Value:
        return {"posts": list(self.posts)}

    def on_feed(self, key: str, request: str, value: Value) -> Value:
        liked = {post for post, user in self.likes if user == key}
        mine = [post for post, row in self.posts.items() if row.author != key and post not in liked]
        return {"posts": mine[-5:], "degraded": False}

    def on_queue(self, key: str, request: str, value: Value) -> Value:
        by_state = [(row.state, row.post_id) for row in self.queue.values()]
        return {
            "waiting": [post for state, post in by_state if state == "waiting"],
            "done": [post for state, post in by_state if state == "done"],
        }

    def distribute(self) -> None:
        """Let the distribution queue take all that waits."""
        self.queue = {number: replace(row, state="done") for number, row in self.queue.items()}

    def stores(self, site: str) -> SiteStores:
        return SiteStores(
            site=site,
            users=dict(self.users),
            sessions=dict(self.sessions),
            posts=dict(self.posts),
            likes=dict(self.likes),
            comments=dict(self.comments),
            ledger=dict(self.ledger),
            queue=dict(self.queue),
            requests=dict(self.requests),
            objects=dict(self.objects),
        )


class Story:
    """A drill as it goes by, in which a client does one thing after the other."""

    def __init__(self) -> None:
        self.platform = Platform()
        self.lines: list[Event] = []
        self._ticks = 0
        self.writer = HistoryWriter(io.BytesIO(), self._tick)

    def _tick(self) -> float:
        self._ticks += 1
        return self._ticks / 100

    def begin(self, f: str, key: str | None, value: Value | None, request: str, process: str = "c1") -> Event:
        asked = self.writer.invoke(process, f, key=key, value=value, request=request)
        self.lines.append(asked)
        return asked

    def end(self, asked: Event, outcome: Outcome, value: Value | None = None) -> None:
        site = epoch = None
        if outcome is Outcome.OK:
            site, epoch = self.platform.site, self.platform.epoch
        self.lines.append(self.writer.complete(asked, outcome, value=value, site=site, epoch=epoch))

    def answer(self, asked: Event) -> None:
        """Let `asked` have its effect and its answer now."""
        try:
            value = self.platform.apply(asked)
        except Refused:
            self.end(asked, Outcome.FAILED, {"status": 404})
        else:
            self.end(asked, Outcome.OK, value)

    def does(self, f: str, key: str | None, value: Value | None, request: str) -> None:
        self.answer(self.begin(f, key, value, request))

    def upload(self, request: str, *, data: bytes = b"", title: str = "first") -> str:
        self.does("upload", post_id(request), uploaded(request, data=data, title=title), request)
        return post_id(request)

    def strike(self, name: str, victim: str, bite: Value | None) -> None:
        self.lines.append(self.writer.fault(name=name, victim=victim, point="drain", bite=bite))
        self.lines.append(self.writer.heal(name=name, victim=victim))

    def history(self) -> History:
        return history_of(self.lines)

    def evidence(self, **changes: object) -> Evidence:
        found = self.platform.stores(self.platform.site)
        other = self.platform.stores("west" if self.platform.site == "east" else "east")
        return replace(Evidence(serving=found, other=other, stage="soak"), **changes)  # type: ignore[arg-type]

    def judged_by(self, checker: str, evidence: Evidence | None = None) -> Finding:
        return REGISTRY[checker](self.history(), evidence or self.evidence())


def uploaded(request: str, *, data: bytes = b"", title: str = "first") -> dict[str, object]:
    """What an upload asks for; its bytes follow from its request unless they are given."""
    data = data or request.encode()
    return {
        "user": "ann",
        "title": title,
        "caption": "a caption",
        "tags": ["one", "two"],
        "audio": "a sound",
        "sha256": digest(data),
        "size": len(data),
    }


def edited(title: str) -> dict[str, object]:
    return {"user": "ann", "title": title, "caption": "new", "tags": ["three"]}


@dataclass(frozen=True)
class Told:
    """A story that used every operation, and the ids in it."""

    story: Story
    post: str
    other_post: str
    deleted: str


def told() -> Told:
    """Everything once: two posts that stay, one that its user deletes, a cutover in the middle."""
    story = Story()
    story.does("log_in", "ann", None, "r-login")
    post, gone = story.upload("r-1"), story.upload("r-2")
    story.does("edit", post, edited("second"), "r-3")
    story.does("like", post, {"user": "bob"}, "r-4")
    story.does("view", post, {"user": "bob"}, "r-5")
    story.does("like", gone, {"user": "bob"}, "r-6b")
    story.does("delete", gone, {"user": "ann"}, "r-6")
    story.strike("kill", "east", {"operations": 1})
    story.platform.cut_over()
    other = story.upload("r-7")
    story.does("comment", other, {"user": "bob", "body": "nice"}, "r-8")
    story.does("earn", "ann", {"account": "ann", "cents": 250}, "r-9")
    story.does("get", post, None, "r-10")
    story.does("list", None, None, "r-11")
    story.does("feed", "bob", None, "r-12")
    story.does("queue", None, None, "r-13")
    return Told(story, post, other, gone)


def changed(evidence: Evidence, **tables: object) -> Evidence:
    """Return the evidence with tables of the serving site replaced."""
    assert evidence.serving is not None
    return replace(evidence, serving=replace(evidence.serving, **tables))  # type: ignore[arg-type]


def changed_other(evidence: Evidence, **tables: object) -> Evidence:
    """Return the evidence with tables of the other site replaced."""
    assert evidence.other is not None
    return replace(evidence, other=replace(evidence.other, **tables))  # type: ignore[arg-type]
