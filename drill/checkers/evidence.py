"""What checkers judge beside the history."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from drill.stores import SiteStores

FOLLOWING = frozenset({"catch_up", "verify", "drain", "cut_over", "soak"})
"""Stages in which the site that does not serve has everything, once the stream has caught up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """A fault that the schedule of this drill asked for."""

    fault: str
    victim: str
    point: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentFile:
    """One of the user's own files, as it is on disk, and what metadata.jsonl says of it."""

    path: str  #: relative to the content folder
    sha256: str  #: hex
    size: int  #: bytes
    title: str
    caption: str = ""
    tags: tuple[str, ...] = ()
    audio: str = ""
    author: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was found after the last client had stopped and every fault was healed."""

    serving: SiteStores | None  #: the site that the register names; None when it could not be read
    other: SiteStores | None  #: its peer; None when it stayed away
    stage: str  #: the stage in which the migration ended; empty when there was none
    complete: bool = False  #: replication was torn down, so the other site no longer follows
    before: SiteStores | None = None  #: what the serving site held before the first operation
    scheduled: tuple[Scheduled, ...] = ()
    reaped: bool = False  #: the reaper has run to its end, so an object without a row is nobody's
    content: Mapping[str, ContentFile] = field(default_factory=dict)  #: by post id

    @property
    def follows(self) -> bool:
        """The other site is being fed, so it must show what the serving site shows."""
        return self.stage in FOLLOWING and not self.complete
