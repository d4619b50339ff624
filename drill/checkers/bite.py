"""A drill counts only if its fault hit something in flight."""

from collections import Counter

from drill.checkers.evidence import Evidence
from drill.history import History, Struck
from drill.verdict import Finding, Witness, finding

NAME = "bite"


def bite(history: History, evidence: Evidence) -> Finding:
    """Doubt a drill whose scheduled fault never came, or came while nothing was going on.

    Such a drill shows nothing, however clean its stores are.
    """
    doubts = [_blunt(fault) for fault in history.faults if fault.bite is None]
    struck = Counter((fault.name, fault.victim) for fault in history.faults)
    for planned in evidence.scheduled:
        if struck[planned.fault, planned.victim]:
            struck[planned.fault, planned.victim] -= 1
            continue
        what = f"{planned.fault} of {planned.victim} never struck: {planned.point} was not reached"
        doubts.append(Witness(what=what, key=planned.fault, site=planned.victim))
    return finding(NAME, doubts=doubts, counts={"struck": len(history.faults)})


def _blunt(fault: Struck) -> Witness:
    what = f"{fault.name} of {fault.victim} at {fault.point} ({fault.t:.3f} s) hit nothing in flight"
    return Witness(what=what, key=fault.name, site=fault.victim)
