"""Once the sites are unlinked, wiping the one that was left changes nothing at the other (S8)."""

from collections.abc import Iterator

from drill.checkers.converged import differences, tables_of
from drill.checkers.evidence import Evidence
from drill.checkers.record import unread
from drill.history import History
from drill.stores import SiteStores
from drill.verdict import Finding, Witness, finding

NAME = "unlink_safety"


def unlink_safety(history: History, evidence: Evidence) -> Finding:
    """Compare the serving site before and after the wipe, row by row and byte by byte."""
    if evidence.serving is None:
        return unread(NAME)
    if evidence.after_wipe is None:
        return finding(NAME, doubts=[Witness(what="the site that was left was not wiped, or nobody looked")])
    changed = list(_changed(evidence.serving, evidence.after_wipe))
    return finding(NAME, violations=changed, counts={"changed": len(changed)})


def _changed(before: SiteStores, after: SiteStores) -> Iterator[Witness]:
    moments = ("the serving site before the wipe", "the serving site after it")
    there = tables_of(after) | {"objects": dict(after.objects)}
    for table, here in (tables_of(before) | {"objects": dict(before.objects)}).items():
        for key, what in differences(table, here, there[table], moments):
            yield Witness(what=what, key=key, site=before.site)
    if before.fence != after.fence:
        what = f"the fence changed from {before.fence} to {after.fence} when the other site was wiped"
        yield Witness(what=what, site=before.site)
