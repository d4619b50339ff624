"""Known-bad variants, one bug a file or some of a kind: each swaps one named part of production code."""

from collections.abc import Mapping

from drill.planted.answer_without_check import ANSWER_WITHOUT_CHECK
from drill.planted.applied_out_of_order import APPLIED_OUT_OF_ORDER
from drill.planted.applies_while_serving import APPLIES_WHILE_SERVING
from drill.planted.bodies_swapped import BODIES_SWAPPED
from drill.planted.bytes_never_copied import BYTES_NEVER_COPIED
from drill.planted.chunk_over_stream import CHUNK_OVER_STREAM
from drill.planted.confirmed_early import CONFIRMED_EARLY
from drill.planted.conflict_by_delete import CONFLICT_BY_DELETE
from drill.planted.delete_on_absence import DELETE_ON_ABSENCE
from drill.planted.drained_in_memory import DRAINED_IN_MEMORY
from drill.planted.durability import FSYNC_OFF, SYNCHRONOUS_COMMIT_OFF
from drill.planted.earnings import EARNINGS_DOUBLED, EARNINGS_OVERWRITTEN
from drill.planted.eligible_by_count import ELIGIBLE_BY_COUNT
from drill.planted.end_before_close import END_BEFORE_CLOSE
from drill.planted.feeds import FEED_GENERIC, FEED_REPEATS
from drill.planted.last_writer_by_clock import LAST_WRITER_BY_CLOCK
from drill.planted.leases import HEIR_IN_A_HURRY, LEASE_BY_THE_HOUR, LEASE_WITHOUT_END, LOAN_FORGOTTEN
from drill.planted.made_up import OLD_PAGE_AS_KNOWN, ZERO_ON_TIME_OUT
from drill.planted.merges import COUNTERS_OVERWRITTEN, LOSER_DROPPED, STRANGERS_DELETED, TAIL_DISCARDED
from drill.planted.never_recovers import NEVER_RECOVERS
from drill.planted.never_registered import NEVER_REGISTERED
from drill.planted.open_before_close import OPEN_BEFORE_CLOSE
from drill.planted.opened_too_late import OPENED_TOO_LATE
from drill.planted.partial import COMMENTS_MISSING, DELETES_DROPPED, NEVER_QUEUED, SESSIONS_LOCAL
from drill.planted.plant import Plant
from drill.planted.position_after_copy import POSITION_AFTER_COPY
from drill.planted.position_ahead import POSITION_AHEAD
from drill.planted.reapers import BYTES_GO_WITH_THE_ROW, REAPED_AHEAD
from drill.planted.refusal_taken_for_done import REFUSAL_TAKEN_FOR_DONE, REQUEST_TAKEN_FOR_TWO
from drill.planted.register_by_habit import CANCELLED_TOO_LATE, REGISTER_OVERWRITTEN
from drill.planted.row_before_bytes import ROW_BEFORE_BYTES
from drill.planted.sent_again_as_new import SENT_AGAIN_AS_NEW, UNKNOWN_TAKEN_FOR_FAILED
from drill.planted.sequences_left import SEQUENCES_LEFT
from drill.planted.survivors import CEILINGS_IGNORED, ELIGIBLE_AT_ONCE
from drill.planted.taken_for_done import TAKEN_FOR_DONE
from drill.planted.two_marks import TWO_MARKS
from drill.planted.unlinked_in_name import UNLINKED_IN_NAME
from drill.planted.way_back_late import WAY_BACK_LATE
from drill.planted.without_brake import WITHOUT_BRAKE
from drill.planted.witness_believed import WITNESS_BELIEVED
from drill.planted.writer_not_frozen import WRITER_NOT_FROZEN
from drill.planted.writers_not_awaited import WRITERS_NOT_AWAITED

PLANTS: Mapping[str, Plant] = {
    plant.name: plant
    for plant in (
        OPEN_BEFORE_CLOSE,
        WRITER_NOT_FROZEN,
        WRITERS_NOT_AWAITED,
        ANSWER_WITHOUT_CHECK,
        HEIR_IN_A_HURRY,
        LEASE_WITHOUT_END,
        LEASE_BY_THE_HOUR,
        LOAN_FORGOTTEN,
        ROW_BEFORE_BYTES,
        BYTES_NEVER_COPIED,
        TAKEN_FOR_DONE,
        BODIES_SWAPPED,
        NEVER_REGISTERED,
        DELETE_ON_ABSENCE,
        CONFLICT_BY_DELETE,
        WITHOUT_BRAKE,
        DELETES_DROPPED,
        LAST_WRITER_BY_CLOCK,
        LOSER_DROPPED,
        END_BEFORE_CLOSE,
        TWO_MARKS,
        CHUNK_OVER_STREAM,
        POSITION_AFTER_COPY,
        POSITION_AHEAD,
        CONFIRMED_EARLY,
        DRAINED_IN_MEMORY,
        APPLIED_OUT_OF_ORDER,
        WAY_BACK_LATE,
        COMMENTS_MISSING,
        NEVER_QUEUED,
        SESSIONS_LOCAL,
        EARNINGS_DOUBLED,
        EARNINGS_OVERWRITTEN,
        OPENED_TOO_LATE,
        REGISTER_OVERWRITTEN,
        CANCELLED_TOO_LATE,
        TAIL_DISCARDED,
        COUNTERS_OVERWRITTEN,
        STRANGERS_DELETED,
        REFUSAL_TAKEN_FOR_DONE,
        REQUEST_TAKEN_FOR_TWO,
        UNLINKED_IN_NAME,
        APPLIES_WHILE_SERVING,
        ZERO_ON_TIME_OUT,
        OLD_PAGE_AS_KNOWN,
        FEED_REPEATS,
        FEED_GENERIC,
        NEVER_RECOVERS,
        SEQUENCES_LEFT,
        SENT_AGAIN_AS_NEW,
        UNKNOWN_TAKEN_FOR_FAILED,
        CEILINGS_IGNORED,
        WITNESS_BELIEVED,
        ELIGIBLE_BY_COUNT,
        ELIGIBLE_AT_ONCE,
        BYTES_GO_WITH_THE_ROW,
        REAPED_AHEAD,
    )
}

ON_DISKS: Mapping[str, Plant] = {plant.name: plant for plant in (FSYNC_OFF, SYNCHRONOUS_COMMIT_OFF)}
"""Those that no simulated migration can carry: they need a real server, on a disk that loses its power."""

LIVE: Mapping[str, Plant] = {**PLANTS, **ON_DISKS}
"""Every name that `--plant` knows; `simulated_only` are refused later, by their reason."""
