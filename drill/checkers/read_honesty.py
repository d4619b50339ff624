"""No read shows less than was acknowledged, more than was attempted, or bytes that nobody sent (S9).

What was acknowledged before the read began must show; what was attempted
before its answer came may show. A read that says of itself that it is stale,
or leaves a number out, promises nothing (`office.py`).
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from drill.checkers.bounds import NEVER, Counters, counters_of, wrong_numbers
from drill.checkers.evidence import Evidence
from drill.checkers.no_ghosts import not_found, posts_shown
from drill.checkers.office import Offices, offices
from drill.checkers.pages import left_out, promised
from drill.checkers.record import PostRecord, Text, as_text, post_of, record_of, text_of, witness
from drill.checkers.stranding import strandable
from drill.history import Event, History, Kind, Operation, Value
from drill.verdict import Finding, Witness, finding

NAME = "read_honesty"


@dataclass(slots=True)
class Texts:
    """What was written as the text of one post, so that a read is judged without going through it all."""

    acknowledged: list[int] = field(default_factory=list)  #: lines of acknowledgements of edits, in order
    newest: list[int] = field(default_factory=list)  #: the latest of their invokes up to there
    begins: dict[Text, list[int]] = field(default_factory=dict)  #: invokes of the writes of a text, in order
    ends: dict[Text, list[float]] = field(default_factory=dict)  #: the latest of their ends up to there

    def since(self, line: int) -> int:
        """Return the invoke of the latest edit acknowledged before `line`; -1 when there was none."""
        at = bisect_left(self.acknowledged, line)
        return self.newest[at - 1] if at else -1

    def last_end(self, text: Text, line: int) -> float | None:
        """Return when the writes of `text` sent before `line` ended; None when nobody had sent it."""
        at = bisect_left(self.begins.get(text, ()), line)
        return self.ends[text][at - 1] if at else None


@dataclass(slots=True)
class Known:
    """What the history says of one post, so that a read finds it with one look."""

    upload: Operation | None = None
    sent: float = NEVER  #: line at which its upload was sent
    uploaded: float = NEVER  #: line at which it was acknowledged
    deleting: float = NEVER  #: line at which its first delete was sent
    deleted: float = NEVER  #: line at which a delete was acknowledged that nothing undoes
    edits: Sequence[Operation] = ()  #: in the order of their invokes
    texts: Texts | None = None  #: made when a read shows what was not the last to be sent

    @property
    def writes(self) -> list[Operation]:
        """The upload and the edits, which may have set its text."""
        return [*((self.upload,) if self.upload else ()), *self.edits]


UNKNOWN = Known()


@dataclass(frozen=True, slots=True)
class Scene:
    """What the history and the stores say, arranged so that each read is judged by itself."""

    posts: Mapping[str, Known]
    offices: Offices
    counters: Counters
    before: frozenset[str]
    usual: Mapping[str, float]  #: post -> line at which it was sent, if no delete of it was acknowledged
    disputed: frozenset[str]  #: posts of which a version is held back: which one shows is not settled here
    optional: frozenset[int]  #: lines of the invokes whose effect need not show


def read_honesty(history: History, evidence: Evidence) -> Finding:
    """Judge every answered read by itself."""
    scene = _scene(history, evidence)
    violations: list[Witness] = []
    for get in history.of("get"):
        served = get.completion
        if served is not None:
            absent = not_found(get)
            if absent or served.type is Kind.OK:
                violations += [witness(get, what) for what in _wrong_get(get, served, scene, absent=absent)]
    for f in ("list", "feed"):
        for read in _unusual(history.of(f), scene):
            violations += [witness(read, what) for what in _wrong_list(read, scene)]
    violations += _left_out(history, evidence, scene)
    return finding(NAME, violations=violations, counts={"reads": len(violations)})


def _left_out(history: History, evidence: Evidence, scene: Scene) -> Iterator[Witness]:
    """Find pages that are too short. Of a queue nothing is said while entries of it are held back."""
    expected = promised(
        history,
        record_of(history),
        optional=scene.optional,
        disputed=scene.disputed,
        before=len(scene.before),
    )
    held = any(stores.hidden.get("queue") for stores in (evidence.serving, evidence.other) if stores)
    for f in ("list", "feed") if held else ("list", "feed", "queue"):
        for read in history.of(f):
            if read.ok and scene.offices.speaks(read):
                for what in left_out(read, expected):
                    yield witness(read, what)


def _scene(history: History, evidence: Evidence) -> Scene:
    record, optional = record_of(history), strandable(history, evidence.announced)
    posts = _posts(record, optional)
    return Scene(
        posts=posts,
        offices=offices(history),
        counters=counters_of(history, evidence),
        before=frozenset(evidence.before.posts if evidence.before else ()),
        usual={post: known.sent for post, known in posts.items() if known.deleted == NEVER},
        disputed=_disputed(evidence),
        optional=optional,
    )


def _posts(record: PostRecord, optional: frozenset[int]) -> dict[str, Known]:
    posts = {post: _uploaded(upload, optional) for post, upload in record.uploads.items()}
    for post, edits in record.edits.items():
        posts.setdefault(post, Known()).edits = edits
    for post, deletes in record.deletes.items():
        known = posts.setdefault(post, Known())
        known.deleting = deletes[0].begins
        known.deleted = min((_promised(delete, optional) for delete in record.gone_by(post)), default=NEVER)
    return posts


def _uploaded(upload: Operation, optional: frozenset[int]) -> Known:
    return Known(upload, upload.invoke.n, _promised(upload, optional))


def _promised(operation: Operation, optional: frozenset[int]) -> float:
    """Return the line from which the effect must show."""
    answer = operation.completion
    if answer is None or answer.type is not Kind.OK or operation.invoke.n in optional:
        return NEVER
    return answer.n


def _texts(writes: list[Operation], optional: frozenset[int]) -> Texts:
    texts = Texts()
    for write in writes:
        text = text_of(write)
        ends = texts.ends.setdefault(text, [])
        texts.begins.setdefault(text, []).append(write.begins)
        ends.append(max(write.ends, ends[-1]) if ends else write.ends)
    _order_edits(texts, writes, optional)
    return texts


def _order_edits(texts: Texts, writes: list[Operation], optional: frozenset[int]) -> None:
    edits = [
        (write.completion.n, write.begins)
        for write in writes
        if write.ok and write.completion and write.invoke.f == "edit" and write.begins not in optional
    ]
    newest = -1
    for line, begins in sorted(edits):
        newest = max(newest, begins)
        texts.acknowledged.append(line)
        texts.newest.append(newest)


def _disputed(evidence: Evidence) -> frozenset[str]:
    sites = [stores for stores in (evidence.serving, evidence.other) if stores is not None]
    return frozenset(post for stores in sites for post in stores.hidden.get("posts", ()))


def _wrong_get(read: Operation, served: Event, scene: Scene, *, absent: bool) -> list[str]:
    """Return what is wrong with an answered get; each look costs a lookup, whatever the history's length."""
    post, begins, returned = read.invoke.key or "", read.invoke.n, served.n
    known, current = scene.posts.get(post, UNKNOWN), scene.offices.speaks(read)
    if absent:
        going = known.deleting < returned or post in scene.disputed
        if current and known.uploaded < begins and not going:
            return [f"get answers that there is no post {post}, whose upload had been acknowledged"]
        return []
    if known.sent > returned and post not in scene.before:
        return [f"get shows post {post}, which nobody had uploaded"]
    wrong = wrong_numbers(read, scene.counters, current=current)
    if current and known.deleted < begins and post not in scene.disputed:
        wrong.insert(0, f"get shows post {post}, whose delete had been acknowledged")
    if known.upload is not None:
        answer = served.value or {}
        wrong += _wrong_bytes(answer, known.upload)
        if not _says(answer, _newest_sent(known, known.upload, returned)):
            wrong += _wrong_text(read, served, scene, known, current=current)
    return wrong


def _newest_sent(known: Known, upload: Operation, line: int) -> Operation:
    """Return the write of the text that was sent last before `line`: it may always show."""
    if not known.edits:
        return upload
    at = bisect_left(known.edits, line, key=_begins)
    return known.edits[at - 1] if at else upload


def _begins(operation: Operation) -> int:
    return operation.invoke.n


def _says(answer: Value, write: Operation) -> bool:
    """Whether the text shown is word for word that of `write`."""
    asked = write.invoke.value or {}
    return (
        answer.get("title") == asked.get("title")
        and answer.get("caption") == asked.get("caption")
        and answer.get("tags") == asked.get("tags")
    )


def _wrong_bytes(answer: Value, upload: Operation) -> list[str]:
    """Find what no edit changes and yet is not as it was uploaded; `sha256` is of the bytes served."""
    wrong, asked = [], upload.asked
    for name in ("sha256", "size", "audio"):
        served = answer.get(name)
        if served is None:
            continue
        sent = asked.get(name)
        if served != sent and sent is not None:
            wrong.append(f"get of post {post_of(upload)} serves {name} {served!r}, and {sent!r} was uploaded")
    return wrong


def _wrong_text(read: Operation, served: Event, scene: Scene, known: Known, *, current: bool) -> list[str]:
    answer = served.value or {}
    if "title" not in answer:
        return []
    if known.texts is None:
        known.texts = _texts(known.writes, scene.optional)
    post, text = read.key, as_text(answer["title"], answer.get("caption"), answer.get("tags"))
    ended = known.texts.last_end(text, served.n)
    if ended is None:
        return [f"get of post {post} shows {text!r}, which nobody had sent"]
    if current and ended < known.texts.since(read.begins) and post not in scene.disputed:
        return [f"get of post {post} shows {text!r}, although a later edit had been acknowledged"]
    return []


def _wrong_list(read: Operation, scene: Scene) -> Iterator[str]:
    f, begins, returned, posts = read.invoke.f, read.begins, read.ends, posts_shown(read)
    current, shown = scene.offices.speaks(read), frozenset(posts)
    if current and len(shown) < len(posts):
        for post in sorted(post for post in shown if posts.count(post) > 1):
            yield f"{f} shows post {post} {posts.count(post)} times"
    for post in sorted(shown):
        known = scene.posts.get(post, UNKNOWN)
        if known.sent > returned and post not in scene.before:
            yield f"{f} shows post {post}, which nobody had uploaded"
        if current and known.deleted < begins and post not in scene.disputed:
            yield f"{f} shows post {post}, whose delete had been acknowledged"


def _unusual(reads: Iterable[Operation], scene: Scene) -> list[Operation]:
    """Return the answered reads that show a post twice, or one that is not as usual.

    All others are right without a look at each post. The answers are gone
    through in their order, in which what had been sent by then only grows.
    """
    unusual, sent = list[Operation](), set[str]()
    coming = deque(sorted(scene.usual.items(), key=itemgetter(1)))
    for read in sorted(reads, key=_ends):
        served = read.completion
        if served is None or served.type is not Kind.OK:
            continue
        while coming and coming[0][1] < served.n:
            sent.add(coming.popleft()[0])
        if not _shows_only(served, sent):
            unusual.append(read)
    return sorted(unusual, key=_begins)


def _ends(operation: Operation) -> float:
    return operation.completion.n if operation.completion else NEVER


def _shows_only(served: Event, sent: set[str]) -> bool:
    posts = served.value.get("posts") if served.value else None
    if not isinstance(posts, list | tuple):
        return True
    try:
        shown = set(posts)
    except TypeError:
        return False
    return len(shown) == len(posts) and shown <= sent
