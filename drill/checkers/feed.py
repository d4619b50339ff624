"""A feed is made for the user who asked, or says that it is not; no page shows a post twice."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from drill.checkers.evidence import Evidence
from drill.checkers.no_ghosts import posts_shown
from drill.checkers.office import Offices, offices
from drill.checkers.record import post_of, witness
from drill.checkers.stranding import strandable
from drill.history import History, Operation
from drill.verdict import Finding, Witness, finding

NAME = "feed"

Lines = Mapping[str, Mapping[str, int]]
"""User -> post -> line of the acknowledgement after which a personal feed leaves the post out."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a page that is personal does not show to whom."""

    offices: Offices
    liked: Lines
    made: Lines
    deleting: Mapping[str, int]  #: post -> line at which its first delete was sent


def feed(history: History, evidence: Evidence) -> Finding:
    """Judge every page that was answered.

    A personal page leaves out what its user has made or already likes. So a
    page that shows such a post, and does not call itself degraded or stale, is
    the one that everybody gets. Of a post that is being deleted the like may be
    gone before the post is.
    """
    optional = strandable(history, evidence.announced)
    scene = Scene(offices(history), _liked(history, optional), _made(history), _deleting(history))
    violations: list[Witness] = []
    degraded = 0
    for page in history.of("feed"):
        if page.ok:
            degraded += bool(page.answered.get("degraded"))
            violations += [witness(page, what) for what in _wrong_with(page, scene)]
    counts = {"pages": len(violations), "degraded": degraded}
    return finding(NAME, violations=violations, counts=counts)


def _liked(history: History, optional: frozenset[int]) -> Lines:
    liked: dict[str, dict[str, int]] = defaultdict(dict)
    for like in history.of("like"):
        if like.ok and like.completion is not None and like.begins not in optional:
            posts = liked[str(like.asked.get("user"))]
            posts[like.key] = min(like.completion.n, posts.get(like.key, like.completion.n))
    return liked


def _made(history: History) -> Lines:
    made: dict[str, dict[str, int]] = defaultdict(dict)
    for upload in history.of("upload"):
        if upload.ok and upload.completion is not None:
            made[str(upload.asked.get("user"))][post_of(upload)] = upload.completion.n
    return made


def _deleting(history: History) -> dict[str, int]:
    first: dict[str, int] = {}
    for delete in history.of("delete"):
        if delete.possible:
            first.setdefault(delete.key, delete.begins)
    return first


def _wrong_with(page: Operation, scene: Scene) -> Iterator[str]:
    posts = posts_shown(page)
    if len(set(posts)) < len(posts):
        twice = sorted({post for post in posts if posts.count(post) > 1})
        yield f"a feed shows {', '.join(twice)} more than once in one page"
    if not scene.offices.speaks(page):
        return
    liked, made = scene.liked.get(page.key, {}), scene.made.get(page.key, {})
    returned = page.completion.n if page.completion else page.begins
    for post in posts:
        if scene.deleting.get(post, returned) < returned:
            continue
        if liked.get(post, page.begins) < page.begins:
            yield f"the feed of {page.key} shows {post}, which they already like, and is not marked degraded"
        elif made.get(post, page.begins) < page.begins:
            yield f"the feed of {page.key} shows their own post {post}, and is not marked degraded"
