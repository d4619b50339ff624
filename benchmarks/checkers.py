"""How many operations a second each checker judges, on records in memory.

    python -m benchmarks.checkers [--largest N] [--rounds N]

Histories of 10^4, 10^5 and 10^6 operations, clean, so that every checker goes
all the way. Pairing, and reading a history from its file, are stated apart.
Each figure is the median of some rounds, with its spread, in seconds of a
processor, so that whatever else the machine does counts less. A checker is linear
when the last column, the time of the largest history by that of the smallest,
is about as large as the ratio of their operations.
"""

import argparse
import gc
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

from drill.checkers import REGISTRY, Checker, Evidence
from drill.history import Event, History, Kind, history_of, read_history
from drill.stores import (
    CommentRow,
    LedgerRow,
    LikeRow,
    ObjectFacts,
    PostRow,
    QueueRow,
    SessionRow,
    SiteStores,
    UserRow,
)
from drill.verdict import Verdict
from drill.workload.wishes import SHARES

SIZES = (10_000, 100_000, 1_000_000)

UPLOADS_IN_THE_HUNDRED = 10

NOTHING_TO_JUDGE = ("bite", "content")
"""Checkers whose work does not grow with the operations."""

KINDS = ("upload", *(kind for kind in SHARES if kind != "delete"))
WEIGHTS = (UPLOADS_IN_THE_HUNDRED, *(SHARES[kind] for kind in KINDS[1:]))
"""What clients do, as the workload of a drill does it; only deletes are left out."""

READ_MAX = 100_000
"""Largest history that is also written to a file and read back (operations)."""


class Platform:
    """Makes a clean history, one operation after the other, and the stores it leaves."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.events: list[Event] = []
        self.posts: dict[str, list[int]] = {}  #: id -> [likes, views]
        self.titles: dict[str, str] = {}
        self.likes: dict[tuple[str, str], LikeRow] = {}
        self.liked: list[tuple[str, str]] = []
        self.sessions: dict[str, SessionRow] = {}
        self.comments: dict[int, CommentRow] = {}
        self.ledger: dict[int, LedgerRow] = {}

    def note(
        self, type: Kind, f: str, key: str | None, value: dict[str, object] | None, request: str
    ) -> None:
        n, answered = len(self.events), type is not Kind.INVOKE
        self.events.append(
            Event(
                n=n,
                t=n / 1000,
                process="client-1",
                type=type,
                f=f,
                key=key,
                value=value,
                site="east" if answered else None,
                epoch=1 if answered else None,
                request=request,
            )
        )

    def call(self, f: str, key: str | None, asked: dict[str, object], answer: dict[str, object]) -> None:
        request = f"r-{len(self.events)}"
        self.note(Kind.INVOKE, f, key, asked, request)
        self.note(Kind.OK, f, key, answer | {"attempts": 1}, request)

    def live(self, operations: int) -> None:
        """Carry out that many operations, in the shares of the workload."""
        while len(self.events) < 2 * operations:
            kind = self.random.choices(KINDS, WEIGHTS)[0] if self.posts else "upload"
            step: Callable[[], None] = getattr(self, kind)
            step()

    def some_post(self) -> str:
        return f"p-{self.random.randrange(len(self.posts))}"

    def upload(self) -> None:
        post = f"p-{len(self.posts)}"
        self.posts[post] = [0, 0]
        asked: dict[str, object] = {"user": "ann", "title": post, "caption": "", "tags": [], "audio": ""}
        self.call("upload", post, {**asked, "sha256": post, "size": 1}, {"post": post})

    def like(self) -> None:
        post, user = self.some_post(), f"user-{len(self.events)}"
        self.likes[post, user] = LikeRow(post_id=post, user_name=user)
        self.liked.append((post, user))
        self.posts[post][0] += 1
        self.call("like", post, {"user": user}, {})

    def view(self) -> None:
        post = self.some_post()
        self.posts[post][1] += 1
        self.call("view", post, {"user": "ann"}, {})

    def comment(self) -> None:
        post, number = self.some_post(), len(self.events)
        row = CommentRow(id=number, post_id=post, author="ann", body="hm", request_id=f"r-{number}")
        self.comments[number] = row
        self.call("comment", post, {"user": "ann", "body": "hm"}, {"comment": number})

    def earn(self) -> None:
        number = len(self.events)
        row = LedgerRow(id=number, post_id="", account="ann", cents=5, request_id=f"r-{number}")
        self.ledger[number] = row
        self.call("earn", "ann", {"account": "ann", "cents": 5}, {"entry": number})

    def get(self) -> None:
        post = self.some_post()
        likes, views = self.posts[post]
        shown: dict[str, object] = {
            "title": self.titles.get(post, post),
            "caption": "",
            "tags": [],
            "sha256": post,
        }
        self.call("get", post, {}, {**shown, "likes": likes, "views": views})

    def list(self) -> None:
        first = max(0, len(self.posts) - 20)
        self.call("list", None, {}, {"posts": [f"p-{n}" for n in range(first, len(self.posts))]})

    def feed(self) -> None:
        liked, user = self.random.choice(self.liked) if self.liked else ("", "user-0")
        shown = {self.some_post() for _ in range(20)} - {liked}
        self.call("feed", user, {}, {"posts": sorted(shown), "degraded": False})

    def edit(self) -> None:
        post, title = self.some_post(), f"title {len(self.events)}"
        self.titles[post] = title
        self.call("edit", post, {"user": "ann", "title": title, "caption": "", "tags": []}, {})

    def log_in(self) -> None:
        token = f"t-{len(self.events)}"
        self.sessions[token] = SessionRow(token=token, user_name="ann")
        self.call("log_in", "ann", {}, {"token": token})

    def queue(self) -> None:
        first = max(0, len(self.posts) - 20)
        waiting = [f"p-{n}" for n in range(first, len(self.posts))]
        self.call("queue", None, {}, {"waiting": waiting, "done": []})

    def stores(self, site: str) -> SiteStores:
        """Return what a perfect site would hold."""
        return SiteStores(
            site=site,
            users={"ann": UserRow(name="ann")},
            sessions=self.sessions,
            posts={
                post: _row(post, self.titles.get(post, post), likes, views)
                for post, (likes, views) in self.posts.items()
            },
            likes=self.likes,
            comments=self.comments,
            ledger=self.ledger,
            queue={
                n: QueueRow(id=n, post_id=post, state="waiting", request_id=post)
                for n, post in enumerate(self.posts)
            },
            objects={f"objects/{post}": ObjectFacts(size=1, sha256=post) for post in self.posts},
        )


def _row(post: str, title: str, likes: int, views: int) -> PostRow:
    return PostRow(
        id=post,
        author="ann",
        title=title,
        caption="",
        tags=(),
        audio="",
        object_key=f"objects/{post}",
        sha256=post,
        size=1,
        likes=likes,
        views=views,
        request_id=post,
    )


def timed(work: Callable[[], object]) -> float:
    """Return how much time of a processor `work` takes (seconds): nothing here waits for anything."""
    begins = time.process_time()
    work()
    return time.process_time() - begins


def costs(operations: int) -> Iterator[tuple[str, float]]:
    """Yield how long it takes (seconds): each checker, pairing, reading the file and pairing."""
    platform = Platform(seed=1)
    platform.live(operations)
    serving, other = platform.stores("east"), platform.stores("west")
    evidence = Evidence(serving=serving, other=other, stage="soak", after_wipe=platform.stores("east"))
    history = history_of(platform.events)
    for name in (name for name in REGISTRY if name not in NOTHING_TO_JUDGE):
        yield name, timed(partial(_judge, REGISTRY[name], history, evidence))
    yield "(pair)", timed(partial(history_of, platform.events))
    if operations <= READ_MAX:
        yield "(read and pair)", _reading(platform.events)


def _judge(checker: Checker, history: History, evidence: Evidence) -> None:
    assert checker(history, evidence).verdict is Verdict.HELD


def _reading(events: list[Event]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.jsonl"
        with path.open("wb") as file:
            file.writelines(event.line() for event in events)
        return timed(lambda: _read(path))


def _read(path: Path) -> History:
    return history_of(read_history(path))


def main() -> None:
    """Print the table. The collector is off: it would measure the heap around the checkers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="largest history, in operations")
    parser.add_argument("--rounds", type=int, default=3, help="how often each figure is taken")
    asked = parser.parse_args()
    gc.disable()
    sizes = [size for size in SIZES if size <= asked.largest]
    measured: dict[str, list[list[float]]] = {}
    for size in sizes:
        taken: dict[str, list[float]] = {}
        for _ in range(asked.rounds):
            for name, seconds in costs(size):
                taken.setdefault(name, []).append(seconds)
            gc.collect()
        for name, rounds in taken.items():
            measured.setdefault(name, []).append(rounds)
    _print(sizes, measured)


def _print(sizes: list[int], measured: dict[str, list[list[float]]]) -> None:
    shown = "".join(f"{size:>30,}" for size in sizes)
    print(f"{'operations/s':16}{shown}   time of the largest : of the smallest")  # noqa: T201
    for name, taken in measured.items():
        figures = "".join(_figure(size, rounds) for size, rounds in zip(sizes, taken, strict=False))
        ratio = median(taken[-1]) / median(taken[0])
        print(f"{name:16}{figures:<{30 * len(sizes)}}{ratio:>10.0f} : 1")  # noqa: T201


def _figure(size: int, rounds: list[float]) -> str:
    return f"{size / median(rounds):>14,.0f} ({_k(size / max(rounds))}-{_k(size / min(rounds))})".rjust(30)


def _k(rate: float) -> str:
    return f"{rate / 1000:,.0f}k"


if __name__ == "__main__":
    main()
