"""Everything that a coordinator does to a site or to the register.

Each action is idempotent and carries, when it is executed, the term and the
journal entry that ordered it. The union at the end is what the dry run prints
and what the crash points are derived from: a new action is in both without
anybody remembering it.
"""

from dataclasses import dataclass, fields
from typing import ClassVar, get_args


@dataclass(frozen=True, slots=True)
class Guard:
    """What an effect carries so that a site can refuse an older one."""

    term: int
    entry: int

    def older_than(self, seen: "Guard") -> bool:
        """Whether a site that has seen `seen` must refuse this."""
        return (self.term, self.entry) < (seen.term, seen.entry)


@dataclass(frozen=True, slots=True)
class PrepareSite:
    """Put fence, publication and records of ours into a site's database."""

    site: str
    name: ClassVar[str] = "prepare-site"
    reversible: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class KeepLog:
    """Make the slot from which the peer will read this site's changes."""

    site: str
    name: ClassVar[str] = "keep-log"
    reversible: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Follow:
    """Tell this site's worker to follow the peer."""

    site: str
    backfill: bool
    rejoin: bool = False  #: back after a parting: it takes the peer's version of what was merged
    name: ClassVar[str] = "follow"
    reversible: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class CompareSites:
    """Compare every row and every object of both sites."""

    name: ClassVar[str] = "compare-sites"
    reversible: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class MarkEligible:
    """Record in the register that this site may take over."""

    site: str
    name: ClassVar[str] = "mark-eligible"
    reversible: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Disqualify:
    """Take this site out of those that may be promoted: it is about to stop following."""

    site: str
    name: ClassVar[str] = "disqualify"
    reversible: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class PromoteSite:
    """Name the survivor in the register without a drain: an operator asks, past the lag bound."""

    site: str
    lease_count: int  #: the last renewal that was seen: any later one forbids it
    name: ClassVar[str] = "promote-site"
    reversible: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class ListStranded:
    """Read what the site that was left had acknowledged and not sent."""

    site: str  #: the one that was left
    name: ClassVar[str] = "list-stranded"
    reversible: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class MergeStranded:
    """Merge it into what the survivor serves; what loses goes to quarantine."""

    site: str  #: the one that was left
    name: ClassVar[str] = "merge-stranded"
    reversible: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class EndParting:
    """Take the parting out of the register: both sites are equal again, and this one may be promoted."""

    site: str  #: the one that was left
    name: ClassVar[str] = "end-parting"
    reversible: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Throttle:
    """Bound how fast this site's worker copies."""

    site: str
    pace: int | None  #: rows a second; None: as fast as it goes
    name: ClassVar[str] = "throttle"
    reversible: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class DeclareDrain:
    """Record in the register that this site is about to be closed, with a deadline."""

    site: str
    name: ClassVar[str] = "declare-drain"
    reversible: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class CloseSite:
    """Close the site's fence: once done, no writer is left in its database."""

    site: str
    name: ClassVar[str] = "close-site"
    reversible: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class MoveSequences:
    """Raise the arriving site's sequences above the leaving site's."""

    site: str  #: the arriving one
    name: ClassVar[str] = "move-sequences"
    reversible: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class VerifyDelta:
    """Compare what was touched since the last compare, now that nobody writes."""

    site: str  #: the arriving one
    name: ClassVar[str] = "verify-delta"
    reversible: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class GrantEpoch:
    """Name the arriving site in the register under a new epoch: the point of no return."""

    site: str
    name: ClassVar[str] = "grant-epoch"
    reversible: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class OpenSite:
    """Open the fence of the site that the register names."""

    site: str
    name: ClassVar[str] = "open-site"
    reversible: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class GiveUpDrain:
    """Take the drain out of the register: the leaving site may serve on."""

    site: str  #: the leaving one
    name: ClassVar[str] = "give-up-drain"
    reversible: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Unfollow:
    """Tell this site's worker to stop following the peer, for good."""

    site: str
    name: ClassVar[str] = "unfollow"
    reversible: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class ReleaseBrake:
    """Let the stopped applier of this site pass what an operator has looked at."""

    site: str
    reason: str
    name: ClassVar[str] = "release-brake"
    reversible: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class ReleaseLog:
    """Drop the slot from which the peer read this site's changes."""

    site: str
    name: ClassVar[str] = "release-log"
    reversible: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class RemoveFence:
    """Take everything of ours out of a site's database."""

    site: str
    name: ClassVar[str] = "remove-fence"
    reversible: ClassVar[bool] = False


Action = (
    PrepareSite
    | KeepLog
    | Follow
    | CompareSites
    | MarkEligible
    | Disqualify
    | DeclareDrain
    | CloseSite
    | MoveSequences
    | VerifyDelta
    | GrantEpoch
    | OpenSite
    | GiveUpDrain
    | PromoteSite
    | ListStranded
    | MergeStranded
    | EndParting
    | Throttle
    | ReleaseBrake
    | Unfollow
    | ReleaseLog
    | RemoveFence
)

ACTIONS: dict[str, type[Action]] = {kind.name: kind for kind in get_args(Action)}


def action_to_json(action: Action) -> dict[str, object]:
    """The action as the journal keeps it."""
    return {"action": action.name} | {item.name: getattr(action, item.name) for item in fields(action)}


def action_from_json(data: dict[str, object]) -> Action:
    """Read what `action_to_json` wrote; KeyError or TypeError when it is foreign."""
    rest = {name: value for name, value in data.items() if name != "action"}
    return ACTIONS[str(data["action"])](**rest)  # type: ignore[arg-type]
