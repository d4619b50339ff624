"""Where a migration stands."""

from enum import Enum


class Stage(Enum):
    """What is true of both sites while a migration is at this stage.

    The values are written to the journal, so renaming one strands every
    half-finished migration: add a stage, never rename one.
    """

    PREFLIGHT = "preflight"  #: nothing has been changed
    BACKFILL = "backfill"  #: source serves; old objects and rows are being copied
    CATCH_UP = "catch_up"  #: source serves; only changes past the watermark remain
    VERIFY = "verify"  #: source serves; the sites are compared; the way back is kept
    DRAIN = "drain"  #: the leaving site is closed in its database; its log is read to its end
    CUT_OVER = "cut_over"  #: the register names the arriving site; it must prove that it takes writes
    PARTED = "parted"  #: the survivor serves; what the other site had not sent is stranded there
    SOAK = "soak"  #: target serves; its changes flow back to the source
    COMPLETE = "complete"  #: target serves; replication is torn down
    ROLLED_BACK = "rolled_back"  #: source serves again, with all that the target accepted


class Direction(Enum):
    """Which way a drain and a cutover go."""

    FORWARD = "forward"  #: the source is left, the target arrived at
    BACK = "back"  #: the target is left, with its writes kept
