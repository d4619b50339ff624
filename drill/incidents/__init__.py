"""Public incidents as drills, one each: the naive way must be violated, and ours must hold."""

from collections.abc import Mapping

from drill.incidents.copying import GHOSTFERRY
from drill.incidents.incident import Incident
from drill.incidents.parting import GITHUB_2018
from drill.incidents.switching import PG_EASY_REPLICATE_164, VITESS_16563, VITESS_19680
from drill.incidents.unlinking import MINIO_20080

INCIDENTS: Mapping[str, Incident] = {
    incident.name: incident
    for incident in (
        MINIO_20080,
        VITESS_16563,
        VITESS_19680,
        PG_EASY_REPLICATE_164,
        GITHUB_2018,
        GHOSTFERRY,
    )
}
