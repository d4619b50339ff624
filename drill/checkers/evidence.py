"""What checkers judge beside the history."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cutover.model.observation import Fence
from drill.stores import SiteStores

FOLLOWING = frozenset({"catch_up", "verify", "drain", "cut_over", "soak"})
"""Stages in which the site that does not serve has everything, once the stream has caught up."""

PARTED = "parted"
"""The stage in which a survivor serves, and has not taken over what the other site had not sent."""


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
class Announced:
    """What the survivor said a dead site may have acknowledged and not sent: the bound of what is stranded.

    Each figure that is None was not announced, and then bounds nothing.
    """

    site: str  #: the one that died
    transactions: int | None = None  #: how many at most
    seconds: float | None = None  #: of its last time in office, how many at most
    epoch: int | None = (
        None  #: the last one that it held; what it acknowledged under a newer one is no excuse
    )
    before: "Announced | None" = None  #: of a parting that came before: that site is home again


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """The time in which clients kept one pace, so that what they achieved can be compared (seconds)."""

    begins: float
    ends: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was found after the last client had stopped and every fault was healed."""

    serving: SiteStores | None  #: the site that the register names; None when it could not be read
    other: SiteStores | None  #: its peer; None when it stayed away
    remains: SiteStores | None = None  #: what a site that stayed away has on its disk; None: nobody can look
    stage: str  #: the stage in which the migration ended; empty when there was none
    complete: bool = False  #: replication was torn down, so the other site no longer follows
    before: SiteStores | None = None  #: what the serving site held before the first operation
    scheduled: tuple[Scheduled, ...] = ()
    reaped: bool = False  #: the reaper has run to its end, so an object without a row is nobody's
    content: Mapping[str, ContentFile] = field(default_factory=dict)  #: by post id
    conflicts_expected: bool = False  #: the schedule made both sites change one key, so some rows are hidden
    announced: Announced | None = None  #: None: no site died with a tail that it had not sent
    healed_at: float | None = None  #: when a core was whole for good (seconds); None: not after a fault
    converged_within: float | None = None  #: bound from then until the sites are alike; None: no bound stated
    read_at: float | None = None  #: when the stores were read (seconds); None: once the bound was over
    after_wipe: SiteStores | None = None  #: the serving site once more, after the other one was wiped
    paced: Paced | None = None  #: None: nobody knows of a time in which the load was the same

    fences: Mapping[str, Fence] = field(default_factory=dict)  #: by site, when all was over
    serving_is_up: bool = True  #: False: it stayed away, nobody was promoted, and its disk was read

    @property
    def stranded(self) -> Announced | None:
        """What was announced of a site whose tail nobody could bring home; None when none was left so."""
        if self.announced is None or self.serving is None or self.announced.site == self.serving.site:
            return None
        if self.other is not None and not self.unlisted:
            return None
        return replace(self.announced, before=None)

    @property
    def left(self) -> SiteStores | None:
        """Where what is stranded must lie: at the site that was left, or on its disk."""
        if self.stranded is None:
            return None
        return self.other or self.remains

    @property
    def unlisted(self) -> bool:
        """Whether the site that was left is there, and its peer never lived to take over its tail."""
        return self.stage == PARTED and self.other is not None

    @property
    def follows(self) -> bool:
        """The other site is being fed, so it must show what the serving site shows."""
        return self.stage in FOLLOWING and not self.complete
