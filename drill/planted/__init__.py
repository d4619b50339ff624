"""Known-bad variants, one file each: each swaps one named part, production code carries no switch."""

from collections.abc import Mapping

from drill.planted.answer_without_check import ANSWER_WITHOUT_CHECK
from drill.planted.bytes_never_copied import BYTES_NEVER_COPIED
from drill.planted.chunk_over_stream import CHUNK_OVER_STREAM
from drill.planted.delete_on_absence import DELETE_ON_ABSENCE
from drill.planted.end_before_close import END_BEFORE_CLOSE
from drill.planted.open_before_close import OPEN_BEFORE_CLOSE
from drill.planted.plant import Plant
from drill.planted.row_before_bytes import ROW_BEFORE_BYTES
from drill.planted.taken_for_done import TAKEN_FOR_DONE
from drill.planted.two_marks import TWO_MARKS

PLANTS: Mapping[str, Plant] = {
    plant.name: plant
    for plant in (
        ROW_BEFORE_BYTES,
        BYTES_NEVER_COPIED,
        TAKEN_FOR_DONE,
        DELETE_ON_ABSENCE,
        OPEN_BEFORE_CLOSE,
        END_BEFORE_CLOSE,
        ANSWER_WITHOUT_CHECK,
        TWO_MARKS,
        CHUNK_OVER_STREAM,
    )
}
