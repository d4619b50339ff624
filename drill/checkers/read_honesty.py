"""No read shows less than was acknowledged, more than was attempted, or bytes that nobody sent (S9).

What was acknowledged before the read began must show; what was attempted
before its answer came may show. A read that says of itself that it is stale,
or leaves a number out, promises nothing. Neither does a read in an epoch older
than one that has acknowledged, or without one at a site that is not in office:
that site had been relieved, and did not know.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from drill.checkers.evidence import Evidence
from drill.checkers.no_ghosts import not_found, posts_shown
from drill.checkers.record import PostRecord, Text, as_text, integer, post_of, record_of, text_of, witness
from drill.history import WRITES, History, Operation
from drill.verdict import Finding, Witness, finding

NAME = "read_honesty"

READS = frozenset({"get", "list", "feed"})


@dataclass(slots=True)
class Known:
    """What a client can know at one line of the history, counted as the lines go by."""

    views_sent: Counter[str] = field(default_factory=Counter)
    views_given: Counter[str] = field(default_factory=Counter)
    likers_sent: dict[str, set[str]] = field(default_factory=dict)
    likers_given: dict[str, set[str]] = field(default_factory=dict)
    uploaded: set[str] = field(default_factory=set)
    sent: set[str] = field(default_factory=set)
    deleting: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    text_since: dict[str, int] = field(default_factory=dict)
    epoch: int = -1
    office: str | None = None

    def begin(self, write: Operation) -> None:
        """Note that a write is on its way: from here on it may show."""
        post = write.key
        match write.invoke.f:
            case "view":
                self.views_sent[post] += 1
            case "like":
                self.likers_sent.setdefault(post, set()).add(str(write.asked.get("user")))
            case "delete":
                self.deleting.add(post)
            case "upload":
                self.sent.add(post_of(write))

    def acknowledge(self, write: Operation) -> None:
        """Note that a write was acknowledged: from here on it must show."""
        post = write.key
        answer = write.completion
        if answer is not None and answer.epoch is not None and answer.epoch > self.epoch:
            self.epoch, self.office = answer.epoch, answer.site
        match write.invoke.f:
            case "view":
                self.views_given[post] += 1
            case "like":
                self.likers_given.setdefault(post, set()).add(str(write.asked.get("user")))
            case "delete":
                self.deleted.add(post)
            case "edit":
                self.text_since[post] = max(self.text_since.get(post, -1), write.begins)
            case "upload":
                self.uploaded.add(post_of(write))


@dataclass(frozen=True, slots=True)
class Floor:
    """What a read had to show at least, fixed when it began."""

    epoch: int  #: newest that had acknowledged
    office: str | None  #: the site that had; None when no acknowledgement named an epoch
    views: int = 0
    likes: int = 0
    uploaded: bool = False
    deleted: frozenset[str] = frozenset()
    text_since: int = -1


@dataclass(frozen=True, slots=True)
class Scene:
    """What does not change while the lines go by."""

    record: PostRecord
    before: frozenset[str]
    views_before: dict[str, int]
    likes_before: dict[str, int]
    texts: dict[str, dict[Text, list[Operation]]]


def read_honesty(history: History, evidence: Evidence) -> Finding:
    """Judge every answered read; one pass over the lines."""
    scene = _scene(history, evidence)
    known = Known()
    floors: dict[int, Floor] = {}
    violations: list[Witness] = []
    for operation, begins in _lines(history):
        if operation.invoke.f in WRITES:
            (known.begin if begins else known.acknowledge)(operation)
        elif begins:
            floors[operation.begins] = _floor(operation, known)
        else:
            floor = floors.pop(operation.begins)
            violations += [witness(operation, what) for what in _wrong_with(operation, floor, known, scene)]
    return finding(NAME, violations=violations, counts={"reads": len(violations)})


def _scene(history: History, evidence: Evidence) -> Scene:
    record = record_of(history)
    before = evidence.before.posts if evidence.before else {}
    texts: dict[str, dict[Text, list[Operation]]] = {}
    for post in record.uploads:
        by_text = texts.setdefault(post, {})
        for write in record.writes(post):
            by_text.setdefault(text_of(write), []).append(write)
    return Scene(
        record=record,
        before=frozenset(before),
        views_before={post: row.views for post, row in before.items()},
        likes_before={post: row.likes for post, row in before.items()},
        texts=texts,
    )


def _lines(history: History) -> Iterable[tuple[Operation, bool]]:
    """Yield each invoke (True) and each answer that counts (False), in the order of the lines.

    Definite failures of writes are left out from the start, as they change nothing.
    """
    lines: list[tuple[int, bool, Operation]] = []
    for operation in history.operations:
        f, completion = operation.invoke.f, operation.completion
        if f in WRITES and operation.possible:
            lines.append((operation.begins, True, operation))
            if operation.ok and completion is not None:
                lines.append((completion.n, False, operation))
        elif f in READS and completion is not None and (operation.ok or not_found(operation)):
            lines.append((operation.begins, True, operation))
            lines.append((completion.n, False, operation))
    lines.sort(key=lambda line: line[0])
    return ((operation, begins) for _, begins, operation in lines)


def _floor(read: Operation, known: Known) -> Floor:
    post = read.key
    if read.invoke.f != "get":
        deleted = frozenset(shown for shown in posts_shown(read) if shown in known.deleted)
        return Floor(known.epoch, known.office, deleted=deleted)
    return Floor(
        known.epoch,
        known.office,
        views=known.views_given[post],
        likes=len(known.likers_given.get(post, ())),
        uploaded=post in known.uploaded,
        deleted=frozenset({post} & known.deleted),
        text_since=known.text_since.get(post, -1),
    )


def _promises_nothing(read: Operation, floor: Floor) -> bool:
    answer = read.answered
    if answer.get("state", "known") != "known" or answer.get("degraded"):
        return True
    served = read.completion
    if served is None:
        return True
    if served.epoch is not None:
        return served.epoch < floor.epoch
    return None not in (served.site, floor.office) and served.site != floor.office


def _wrong_with(read: Operation, floor: Floor, known: Known, scene: Scene) -> Iterator[str]:
    current = not _promises_nothing(read, floor)
    if read.invoke.f == "get":
        yield from _wrong_get(read, floor, known, scene, current=current)
    else:
        yield from _wrong_list(read, floor, known, scene, current=current)


def _wrong_get(read: Operation, floor: Floor, known: Known, scene: Scene, *, current: bool) -> Iterator[str]:
    post = read.key
    if not_found(read):
        if current and floor.uploaded and post not in known.deleting:
            yield f"get answers that there is no post {post}, whose upload had been acknowledged"
        return
    if post not in known.sent and post not in scene.before:
        yield f"get shows post {post}, which nobody had uploaded"
        return
    if current and floor.deleted and scene.record.must_be_gone(post):
        yield f"get shows post {post}, whose delete had been acknowledged"
    yield from _wrong_numbers(read, floor, known, scene, current=current)
    yield from _wrong_bytes(read, scene)
    yield from _wrong_text(read, floor, scene, current=current)


def _wrong_numbers(
    read: Operation, floor: Floor, known: Known, scene: Scene, *, current: bool
) -> Iterator[str]:
    post = read.key
    bounds = {
        "views": (floor.views, known.views_sent[post], scene.views_before.get(post, 0)),
        "likes": (floor.likes, len(known.likers_sent.get(post, ())), scene.likes_before.get(post, 0)),
    }
    for name, (given, sent, base) in bounds.items():
        shown = integer(read.answered.get(name))
        if shown is None:
            continue
        if current and shown < base + given:
            yield f"get shows {shown} {name} of post {post}, and {base + given} had been acknowledged"
        if shown > base + sent:
            yield f"get shows {shown} {name} of post {post}, and {base + sent} had been attempted"


def _wrong_bytes(read: Operation, scene: Scene) -> Iterator[str]:
    """Find what no edit changes and yet is not as it was uploaded; `sha256` is of the bytes served."""
    upload = scene.record.uploads.get(read.key)
    for name in ("sha256", "size", "audio"):
        served, sent = read.answered.get(name), upload.asked.get(name) if upload else None
        if served is not None and sent is not None and served != sent:
            yield f"get of post {read.key} serves {name} {served!r}, and {sent!r} was uploaded"


def _wrong_text(read: Operation, floor: Floor, scene: Scene, *, current: bool) -> Iterator[str]:
    answer = read.answered
    if read.key not in scene.texts or "title" not in answer:
        return
    text = as_text(answer.get("title"), answer.get("caption"), answer.get("tags"))
    returned = read.completion.n if read.completion else read.begins
    writes = [write for write in scene.texts[read.key].get(text, ()) if write.begins < returned]
    if not writes:
        yield f"get of post {read.key} shows {text!r}, which nobody had sent"
    elif current and all(write.ends < floor.text_since for write in writes):
        yield f"get of post {read.key} shows {text!r}, although a later edit had been acknowledged"


def _wrong_list(read: Operation, floor: Floor, known: Known, scene: Scene, *, current: bool) -> Iterator[str]:
    f = read.invoke.f
    times = Counter(posts_shown(read))
    for post, shown in times.items():
        if shown > 1 and current:
            yield f"{f} shows post {post} {shown} times"
        if post not in known.sent and post not in scene.before:
            yield f"{f} shows post {post}, which nobody had uploaded"
        if current and post in floor.deleted and scene.record.must_be_gone(post):
            yield f"{f} shows post {post}, whose delete had been acknowledged"
