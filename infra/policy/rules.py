"""What a stack must never be. Each rule is a pure function from a plan to what is wrong in it.

They judge what the plan gives to containers (labels, files, command, variables,
mounts, ports), not the settings that it was made from: a changed component is
judged like a changed setting. What a server is told later, over its own API,
no plan shows; the conformance suite and the drills look at that.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import combinations
from pathlib import PurePosixPath
from typing import Any

from infra.blueprint.settings import DURABLE
from infra.policy.declared import NETWORK, NOT_YET, SITE, Box, Plan, boxes, hosts_told, told
from infra.topology import WITNESS

STORES = ("postgres", "s3")
"""Kinds that acknowledge writes, and must still have them when they come back."""

FLUSHING: Mapping[str, frozenset[str]] = {
    **{name: frozenset({value}) for name, value in DURABLE.items()},
    "synchronous_commit": frozenset({"on", "local", "remote_write", "remote_apply"}),
}
"""Values with which PostgreSQL has a commit on its own disk before it says so."""

UNSAFE_WORDS = re.compile(
    r"\b(?:fsync|full_page_writes|synchronous_commit)\s*=\s*['\"]?(?:off|false|no|0)\b|--no-sync\b|--nosync\b",
    re.IGNORECASE,
)
"""Options that let a server acknowledge what is not on its disk."""

REPLICATED_DELETES = re.compile(
    r"--replicate[= ]\S*delete"
    r"|\bmirror\b.*--remove\b"
    r"|\brclone\s+(?:bi)?sync\b"
    r"|\bs3\s+sync\b.*--delete\b"
    r"|\brsync\b.*--delete\b"
    r"|--delete-removed\b"
    r"|\w*delete_?(?:marker_?)?replication\w*\W{1,4}(?:status\W{1,4})?(?:on|true|yes|1|enabled?)\b"
    r"|\w*replicate_?deletes?\w*\W{1,4}(?:on|true|yes|1|enabled?)\b",
    re.IGNORECASE,
)
"""Ways to tell common tools and servers that what is deleted at one store is deleted at another."""

REPLICA_SETTINGS = ("primary_conninfo", "primary_slot_name", "synchronous_standby_names")
"""Settings that make a server the copy of another, deletes and all."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and where."""

    message: str
    urn: str = ""  #: empty: the whole stack


Rule = Callable[[Plan], Iterator[Finding]]


def unlabelled(plan: Plan) -> Iterator[Finding]:
    """Each container says where it belongs and what it is: the other rules find it by that."""
    for box in boxes(plan):
        if not (box.place and box.kind):
            yield _at(box, "has no label for its place or its kind, so that no rule can judge it")


def witness_missing(plan: Plan) -> Iterator[Finding]:
    """A store stands at the witness, keeps what it has, is started, and is what the sites are told of."""
    found = list(boxes(plan, place=WITNESS, kind="s3"))
    if len(found) != 1:
        yield Finding(
            f"{len(found)} object stores stand at the witness, and one is needed: without register and "
            f"journal nobody can tell which site may take writes"
        )
    for box in found:
        if box.properties.get("mustRun") is False:
            yield _at(box, "is the witness, and need not run")
    for box, outputs in told(plan):
        known = hosts_told(outputs, WITNESS)
        if not any(known & one.addresses for one in found):
            yield _at(box, f"is told that the witness is at {_list(known)}, and no witness listens there")


def durability_off(plan: Plan) -> Iterator[Finding]:
    """What a store acknowledges is on a disk that outlives its container."""
    for kind in STORES:
        for box in boxes(plan, kind=kind):
            yield from _not_kept(box)
            if unsafe := UNSAFE_WORDS.search(box.words):
                yield _at(box, f"is started with {unsafe.group()!r}, and would lose acknowledged writes")
    for box in boxes(plan, kind="postgres"):
        yield from _not_flushed(box)


def deletes_replicated(plan: Plan) -> Iterator[Finding]:
    """No delete at one place is carried out at another, but by the engine, as a delete in the log.

    Seen are: two places that keep data in the same volume or folder of one
    engine, a command or variable that makes a known tool copy deletes, and a
    database that is a physical copy of another.
    """
    for one, other in combinations([box for box in boxes(plan) if box.place], 2):
        if one.place != other.place and (shared := _shared(one, other)):
            yield _at(one, f"keeps {shared} together with {other.name}: a delete at one is a delete at both")
    for box in boxes(plan):
        if found := REPLICATED_DELETES.search(box.words):
            yield _at(box, f"is told {found.group()!r}: what is deleted at one place would go at the other")
    for box in boxes(plan, kind="postgres"):
        for name in REPLICA_SETTINGS:
            if _postgres_settings(box).get(name):
                yield _at(box, f"sets {name}: a physical copy takes over each delete with no request for it")


def both_sites_writable(plan: Plan) -> Iterator[Finding]:
    """One site is the source, and everybody is told the same one; a platform writes at its own site only.

    Where clients may write is decided by the fence in each database once a
    migration has begun; before that, by what the plan says here.
    """
    roles = Counter(str(one.properties.get("role")) for one in plan if one.type == SITE)
    if roles != Counter(("source", "target")):
        yield Finding(f"one source and one target are needed, and the sites are {sorted(roles.elements())}")
    sources = {one.name for one in plan if one.type == SITE and one.properties.get("role") == "source"}
    for box, outputs in told(plan):
        named = {name for name, site in outputs["sites"].items() if site.get("role") == "source"}
        if named != sources or len(named) != 1:
            yield _at(box, f"is told that the source is {_list(named)}, and the stack's is {_list(sources)}")
    for box in boxes(plan, kind="platform"):
        yield from _writes_elsewhere(plan, box)


def published_elsewhere(plan: Plan) -> Iterator[Finding]:
    """A port is published only on the private address at which others are told to reach its place."""
    for box in boxes(plan):
        for port in box.ports:
            yield from _wrong_address(plan, box, port)
        if box.properties.get("networkMode") == "host" or box.properties.get("publishAllPorts"):
            yield _at(box, "listens on networks of its machine that the topology does not know")
        if box.properties.get("privileged"):
            yield _at(box, "is privileged, and could open any port of its machine")
    yield from _one_machine(plan)


def way_out(plan: Plan) -> Iterator[Finding]:
    """Where networks are internal, only the front of a store may join one that is not, and of its place only.

    Such a front passes bytes on to a server outside; whatever else got out could be written to, or
    write, past every link that a drill cuts.
    """
    networks = {str(one.properties.get("name")): one for one in plan if one.type == NETWORK}
    if not any(one.properties.get("internal") for one in networks.values()):
        return  # places stand on machines of their own, and `link-only` judges what they publish
    open_ = {name: one for name, one in networks.items() if not one.properties.get("internal")}
    for box in boxes(plan):
        for name in sorted({str(one.get("name")) for one in box.many("networksAdvanced")} & open_.keys()):
            place = Box(open_[name]).place
            if box.kind != "s3" or box.place != place:
                yield _at(box, f"is on {name}, which has a way out: only the store of {place} may be there")


RULES: Mapping[str, Rule] = {
    "labelled": unlabelled,
    "witness": witness_missing,
    "durability": durability_off,
    "delete-replication": deletes_replicated,
    "one-writer": both_sites_writable,
    "link-only": published_elsewhere,
    "way-out": way_out,
}
"""Every rule by the name of its policy."""


def judge(plan: Plan) -> Mapping[str, list[Finding]]:
    """Return what each rule finds; empty where nothing is wrong."""
    found = {name: list(rule(plan)) for name, rule in RULES.items()}
    return {name: findings for name, findings in found.items() if findings}


def _at(box: Box, what: str) -> Finding:
    return Finding(f"{box.name} {what}", box.resource.urn)


def _list(names: Set[str]) -> str:
    return ", ".join(sorted(names)) or "nowhere"


def _not_kept(box: Box) -> Iterator[Finding]:
    if not box.keeps:
        yield _at(box, "keeps its data in no volume: it is gone with the container")
    for path in box.properties.get("tmpfs") or {}:
        if any(_inside(path, kept) or _inside(kept, path) for kept in box.keeps):
            yield _at(box, f"keeps its data in memory, under {path}")


def _not_flushed(box: Box) -> Iterator[Finding]:
    settings = _postgres_settings(box)
    if not settings and box.text("service.json") != NOT_YET:
        yield _at(box, "shows no settings, so that nobody can tell whether a commit is on its disk")
    for name, allowed in FLUSHING.items():
        value = str(settings.get(name, "on")).strip("'\" ").lower()
        if value not in allowed:
            yield _at(box, f"sets {name} to {value}: acknowledged commits would be lost when power is")


def _postgres_settings(box: Box) -> Mapping[str, Any]:
    told_it: Mapping[str, Any] = box.file("service.json").get("postgres", {}).get("settings", {})
    return told_it


def _shared(one: Box, other: Box) -> str | None:
    if one.resource.engine != other.resource.engine:
        return None
    for mine in set(one.keeps.values()) - {NOT_YET}:
        for theirs in other.keeps.values():
            if mine == theirs or (mine.startswith("/") and (_inside(mine, theirs) or _inside(theirs, mine))):
                return mine
    return None


def _inside(path: str, folder: str) -> bool:
    return PurePosixPath(path).is_relative_to(folder)


def _writes_elsewhere(plan: Plan, box: Box) -> Iterator[Finding]:
    host = box.file("service.json").get("settings", {}).get("postgres", {}).get("host")
    own = {address for one in boxes(plan, place=box.place, kind="postgres") for address in one.addresses}
    if host not in own:
        yield _at(box, f"writes to the database at {host}, which is not that of {box.place}")


def _wrong_address(plan: Plan, box: Box, port: Mapping[str, Any]) -> Iterator[Finding]:
    address, number = str(port.get("ip") or "0.0.0.0"), port.get("external") or port.get("internal")
    if address == NOT_YET:
        return
    parsed = ip_address(address)
    others = (outputs for one, outputs in told(plan) if one.place != box.place)
    linked = {host for outputs in others for host in hosts_told(outputs, box.place or "")}
    if parsed.is_unspecified or parsed.is_global:
        yield _at(box, f"publishes port {number} on {address}, where anybody may reach it")
    elif address not in linked:
        yield _at(box, f"publishes port {number} on {address}; its link is at {_list(linked)}")


def _one_machine(plan: Plan) -> Iterator[Finding]:
    """Two places that publish on one address stand on one machine, and die together."""
    places: dict[str, set[str]] = {}
    for box in boxes(plan):
        for port in box.ports:
            if port.get("ip") != NOT_YET:
                places.setdefault(str(port.get("ip")), set()).add(str(box.place))
    for address, names in places.items():
        if len(names) > 1:
            yield Finding(f"{_list(names)} publish on {address}: they stand on one machine, and die together")
