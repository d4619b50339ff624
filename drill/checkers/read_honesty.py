"""No read shows less than was acknowledged, more than was attempted, or bytes that nobody sent (S9).

What was acknowledged before the read began must show; what was attempted
before its answer came may show. A read that says of itself that it is stale,
or leaves a number out, promises nothing (`office.py`).
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from drill.checkers.bounds import Counters, counters_of, wrong_numbers
from drill.checkers.evidence import Evidence
from drill.checkers.no_ghosts import not_found, posts_shown
from drill.checkers.office import Offices, offices
from drill.checkers.record import PostRecord, Text, as_text, post_of, record_of, text_of, witness
from drill.checkers.stranding import strandable
from drill.history import History, Operation, Value
from drill.verdict import Finding, Witness, finding

NAME = "read_honesty"

NEVER = float("inf")


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


@dataclass(frozen=True, slots=True)
class Scene:
    """What the history and the stores say, arranged so that each read is judged by itself."""

    record: PostRecord
    offices: Offices
    counters: Counters
    before: frozenset[str]
    sent: Mapping[str, int]  #: post -> line at which its upload was sent
    uploaded: Mapping[str, int]  #: post -> line at which it was acknowledged
    usual: Mapping[str, int]  #: `sent`, without the posts whose delete was acknowledged
    deleting: Mapping[str, int]  #: post -> line at which its first delete was sent
    deleted: Mapping[str, int]  #: post -> line at which a delete was acknowledged that nothing undoes
    texts: Mapping[str, Texts]  #: of the posts that were edited
    disputed: frozenset[str]  #: posts of which a version is held back: which one shows is not settled here


def read_honesty(history: History, evidence: Evidence) -> Finding:
    """Judge every answered read by itself."""
    scene = _scene(history, evidence)
    violations: list[Witness] = []
    for get in history.of("get"):
        if get.completion is not None and (get.ok or not_found(get)):
            violations += [witness(get, what) for what in _wrong_get(get, scene)]
    for f in ("list", "feed"):
        for read in history.of(f):
            if read.ok:
                violations += [witness(read, what) for what in _wrong_list(read, scene)]
    return finding(NAME, violations=violations, counts={"reads": len(violations)})


def _scene(history: History, evidence: Evidence) -> Scene:
    record = record_of(history)
    optional = strandable(history, evidence.announced)
    sent = {post: upload.begins for post, upload in record.uploads.items()}
    deleted = _acknowledged(((post, record.gone_by(post)) for post in record.deletes), optional)
    return Scene(
        record=record,
        offices=offices(history),
        counters=counters_of(history, evidence),
        before=frozenset(evidence.before.posts if evidence.before else ()),
        sent=sent,
        usual={post: line for post, line in sent.items() if post not in deleted} if deleted else sent,
        uploaded=_acknowledged(((post, (upload,)) for post, upload in record.uploads.items()), optional),
        deleting={post: deletes[0].begins for post, deletes in record.deletes.items()},
        deleted=deleted,
        texts={post: _texts(record.writes(post), optional) for post in record.edits},
        disputed=_disputed(evidence),
    )


def _acknowledged(
    promises: Iterable[tuple[str, Iterable[Operation]]], optional: frozenset[int]
) -> dict[str, int]:
    """Return the line of the first acknowledgement that must show, for each post that has one."""
    first: dict[str, int] = {}
    for post, operations in promises:
        lines = [
            operation.completion.n
            for operation in operations
            if operation.ok and operation.completion is not None and operation.begins not in optional
        ]
        if lines:
            first[post] = min(lines)
    return first


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


def _wrong_get(read: Operation, scene: Scene) -> list[str]:
    """Return what is wrong with an answered get; each look costs a lookup, whatever the history's length."""
    served = read.completion
    assert served is not None  # only answered reads come here
    post, begins, returned = read.key, read.invoke.n, served.n
    current = scene.offices.speaks(read)
    if not_found(read):
        if current and scene.uploaded.get(post, NEVER) < begins and not _going(post, returned, scene):
            return [f"get answers that there is no post {post}, whose upload had been acknowledged"]
        return []
    if scene.sent.get(post, NEVER) > returned and post not in scene.before:
        return [f"get shows post {post}, which nobody had uploaded"]
    answer, wrong = served.value or {}, []
    if current and _gone(post, begins, scene):
        wrong.append(f"get shows post {post}, whose delete had been acknowledged")
    wrong += wrong_numbers(read, scene.counters, current=current)
    upload = scene.record.uploads.get(post)
    if upload is not None:
        wrong += _wrong_bytes(answer, upload)
        if not (post not in scene.texts and _as_uploaded(answer, upload)):
            wrong += _wrong_text(answer, scene, (post, begins, returned), current=current)
    return wrong


def _going(post: str, returned: int, scene: Scene) -> bool:
    return scene.deleting.get(post, NEVER) < returned or post in scene.disputed


def _gone(post: str, begins: int, scene: Scene) -> bool:
    return scene.deleted.get(post, NEVER) < begins and post not in scene.disputed


def _as_uploaded(answer: Value, upload: Operation) -> bool:
    """Whether the text is word for word that of the upload: all that a post without edits can show."""
    asked = upload.asked
    return (
        answer.get("title") == asked.get("title")
        and answer.get("caption") == asked.get("caption")
        and answer.get("tags") == asked.get("tags")
    )


def _wrong_bytes(answer: Value, upload: Operation) -> list[str]:
    """Find what no edit changes and yet is not as it was uploaded; `sha256` is of the bytes served."""
    wrong, asked = [], upload.asked
    for name in ("sha256", "size", "audio"):
        served, sent = answer.get(name), asked.get(name)
        if served != sent and served is not None and sent is not None:
            wrong.append(f"get of post {post_of(upload)} serves {name} {served!r}, and {sent!r} was uploaded")
    return wrong


def _wrong_text(answer: Value, scene: Scene, read: tuple[str, int, int], *, current: bool) -> list[str]:
    post, begins, returned = read
    if "title" not in answer:
        return []
    texts = scene.texts.get(post) or _texts(scene.record.writes(post), frozenset())
    text = as_text(answer["title"], answer.get("caption"), answer.get("tags"))
    ended = texts.last_end(text, returned)
    if ended is None:
        return [f"get of post {post} shows {text!r}, which nobody had sent"]
    if current and ended < texts.since(begins) and post not in scene.disputed:
        return [f"get of post {post} shows {text!r}, although a later edit had been acknowledged"]
    return []


def _wrong_list(read: Operation, scene: Scene) -> Iterator[str]:
    f, begins, posts = read.invoke.f, read.begins, posts_shown(read)
    returned = read.completion.n if read.completion else begins
    if _as_usual(posts, returned, scene):
        return
    current, shown = scene.offices.speaks(read), frozenset(posts)
    if current and len(shown) < len(posts):
        for post in sorted(post for post in shown if posts.count(post) > 1):
            yield f"{f} shows post {post} {posts.count(post)} times"
    for post in sorted(shown):
        if scene.sent.get(post, NEVER) > returned and post not in scene.before:
            yield f"{f} shows post {post}, which nobody had uploaded"
        if current and _gone(post, begins, scene):
            yield f"{f} shows post {post}, whose delete had been acknowledged"


def _as_usual(posts: tuple[str, ...], returned: int, scene: Scene) -> bool:
    """Whether all had been sent, none twice and none deleted: found without a look at each."""
    try:
        sent = set(map(scene.usual.__getitem__, posts))
    except KeyError:
        return False
    return len(sent) == len(posts) and max(sent, default=-1) < returned
