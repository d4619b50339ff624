"""The one small value at the witness that decides who serves."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """A drain stands: the leaving site is closed, or is about to be."""

    leaving: str
    seconds: float  #: counted by each watcher from when it first saw this drain
    term: int
    entry: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """What the serving site may have acknowledged and its peer not have, as of a renewal: a bound."""

    seconds: float | None = 0.0  #: age of the last moment at which the peer had everything; None: unknown
    transactions: int | None = 0  #: of this database since that moment, ours included; None: unknown
    confirmed: str = ""  #: what the peer has on its disk of it: a peer that has less has forgotten (S11)
    end: str = ""  #: of its log, on its disk at that renewal: a log that ends before has forgotten (S11)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parting:
    """A site was left without a drain: its peer was promoted when its lease had run out.

    What the left site acknowledged and had not sent is stranded there, until it
    is back and that is merged.
    """

    left: str
    epoch: int  #: under which the survivor was promoted
    term: int  #: that the promotion took, so that every older coordinator is refused
    unsent: Unsent  #: the bound on what is stranded, as of the left site's last renewal
    by: str  #: `agent`, or `operator` when past the lag bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Who serves, and what is being done about it.

    Every change writes a new nonce and a rising revision, so that a writer
    which got no answer can read back whether it was its own that went in.
    """

    migration: str  #: digest of the plan
    revision: int
    nonce: str
    term: int  #: newest coordinator
    epoch: int
    serving: str
    lease_holder: str
    lease_seconds: float
    lease_count: int  #: renewals so far: a watcher sees that it is alive
    eligible: tuple[str, ...]  #: sites that have earned to be promoted
    drain: Drain | None = None
    behind: tuple[str, ...] = ()  #: sites past the lag bound: only an operator may promote them
    unsent: Unsent = field(default_factory=Unsent)
    ceilings: tuple[tuple[str, int], ...] = ()  #: sequence, and what no value of it has passed
    parted: Parting | None = None  #: until the site that was left is merged and follows again


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A grant as it was read; `tag` is what compare-and-set compares."""

    grant: Grant
    tag: str
