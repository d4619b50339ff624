"""What must hold for every stack that the program declares: each check returns what is wrong."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from infra.components.exports import Published
from infra.policy.declared import CONTAINER, IMAGE, NETWORK
from infra.topology import WITNESS, two_sites
from resilience_tests.spec.infra.program.graph import PROVIDER, Graph

VOLUME = "docker:index/volume:Volume"
STACK = "pulumi:pulumi:Stack"
SITES = ("east", "west")

Check = Callable[[Graph], Iterator[str]]


def no_site_needs_the_other(graph: Graph) -> Iterator[str]:
    """Neither site is in any way below the other: one can be made, and be gone, without the other."""
    for one in graph.registered.values():
        mine = graph.place_of(one)
        for urn in graph.reaches(one) if mine in SITES else ():
            other = graph.place_of(graph.registered[urn])
            if other in SITES and other != mine:
                yield f"{one.name} needs {urn}"


def nothing_at_the_witness_needs_a_site(graph: Graph) -> Iterator[str]:
    """The witness stands without the sites."""
    for one in graph.registered.values():
        needed = {graph.place_of(graph.registered[urn]) for urn in graph.reaches(one)}
        if graph.place_of(one) == WITNESS and needed & {*SITES, "link"}:
            yield f"{one.name} needs something of {sorted(needed)}"


def containers_need_what_they_use(graph: Graph) -> Iterator[str]:
    """A container comes after its image, its networks and its volumes: the graph has these edges."""
    for one in graph.containers():
        used = [("image", IMAGE, 1), ("networksAdvanced", NETWORK, len(one.properties["networksAdvanced"]))]
        kept = [volume for volume in one.properties.get("volumes", ()) if "volumeName" in volume]
        used += [("volumes", VOLUME, len(kept))] if kept else []
        for key, type_, count in used:
            edges = one.request.propertyDependencies[key].urns
            there = [urn for urn in edges if graph.registered[urn].type == type_]
            if len(there) != count:
                yield f"{one.name}.{key} rests on {there}, and uses {count} of them"


def stores_come_first(graph: Graph) -> Iterator[str]:
    """What uses the stores of its place starts when they are healthy."""
    for one in graph.containers():
        place, _, kind = one.name.partition("-")
        needed = {graph.registered[urn].name for urn in one.needs if graph.registered[urn].type == CONTAINER}
        stores = {f"{place}-s3"} | ({f"{place}-postgres"} if place in SITES else set())
        if needed != (set() if kind in ("postgres", "s3") else stores):
            yield f"{one.name} comes after {sorted(needed)}"


def everything_has_a_parent(graph: Graph) -> Iterator[str]:
    """Each resource belongs to a component, each component to the stack."""
    for one in graph.registered.values():
        above = graph.registered[one.parent].type if one.parent else None
        component = one.type.startswith("cutover:infra:")
        if one.type != STACK and (above == STACK) is not component:
            yield f"{one.type} {one.name} has {above} as its parent"


def each_place_has_its_own_engine(graph: Graph) -> Iterator[str]:
    """Each place is made through a provider of its own: of its host, or of one engine where none is named."""
    hosts = graph.outputs["settings"]["hosts"]
    for one in graph.registered.values():
        if one.type.startswith("docker:") and one.provider != (place := graph.place_of(one)):
            yield f"{one.name} is made through {one.provider!r}, and its place is {place}"
    found = {one.name: one.properties.get("host") for one in graph.of(PROVIDER)}
    for name, host in found.items():
        if host != hosts.get(name, host):
            yield f"the provider {name} goes to {host}"
    if graph.outputs["settings"]["links"] == {} and len(set(found.values())) != 1:
        yield f"no bridge joins {found}"


def names_are_explicit(graph: Graph) -> Iterator[str]:
    """What is named by us can be found by us; a second one can only be made when the first is gone."""
    stack = graph.outputs["settings"]["name"]
    for one in (*graph.of(CONTAINER), *graph.of(NETWORK), *graph.of(VOLUME)):
        if one.properties.get("name") != f"{stack}-{one.name}":
            yield f"{one.name} is called {one.properties.get('name')!r}"
        if not one.request.deleteBeforeReplace:
            yield f"{one.name} would be made a second time before it is deleted"


def everything_says_whose_it_is(graph: Graph) -> Iterator[str]:
    """Containers, networks and volumes say which stack, place and kind, until when, and who holds them."""
    keys = {"cutover.stack", "cutover.place", "cutover.kind", "cutover.expires", "cutover.owner"}
    for one in (*graph.of(CONTAINER), *graph.of(NETWORK), *graph.of(VOLUME)):
        given = {label["label"]: label["value"] for label in one.properties.get("labels", ())}
        if not keys <= given.keys() or given["cutover.place"] != graph.place_of(one):
            yield f"{one.name} has the labels {given}"


def images_are_found_before_they_are_pulled(graph: Graph) -> Iterator[str]:
    """A local image is used as it is, and stays when the stack goes."""
    for one in graph.of(IMAGE):
        if one.properties.get("keepLocally") is not True:
            yield f"{one.name} would be removed with the stack"


def networks_have_configured_addresses(graph: Graph) -> Iterator[str]:
    """No engine picks a subnet, and each container has its address in the subnet of each of its networks."""
    subnets = {}
    for one in graph.of(NETWORK):
        (config,) = one.properties.get("ipamConfigs") or [{}]
        if not (config.get("subnet") and config.get("gateway")):
            yield f"{one.name} lets the engine pick its addresses"
        subnets[one.properties["name"]] = config.get("subnet", "")
    if len(set(subnets.values())) != len(subnets):
        yield f"two networks have the same addresses: {subnets}"
    for one in graph.containers():
        for joined in one.properties["networksAdvanced"]:
            if not joined.get("ipv4Address"):
                yield f"{one.name} takes any address on {joined['name']}"


def nothing_listens_outside_its_network(graph: Graph) -> Iterator[str]:
    """Internal networks publish nothing; else a port is bound to the link address of its place only.

    A network is internal unless places stand on machines of their own, or it is the way of a
    place's front to a server outside.
    """
    settings = graph.outputs["settings"]
    links = settings["links"]
    for one in graph.of(NETWORK):
        outside = settings.get("s3_url") is not None and one.name.endswith("-outside")
        if one.properties.get("internal") is not (not links and not outside):
            yield f"the network {one.name} is {'no ' if links else 'not '}internal one"
    for one in graph.containers():
        ports = one.properties.get("ports", ())
        if any(port.get("ip") != links.get(graph.place_of(one)) for port in ports):
            yield f"{one.name} publishes {ports}, and the links are {links}"
        if ports and not links:
            yield f"{one.name} publishes on an internal network"
        if one.properties.get("networkMode") or one.properties.get("publishAllPorts"):
            yield f"{one.name} is on another network too"


def joins_only_what_it_needs(graph: Graph) -> Iterator[str]:
    """Nobody is on the network of the other site; who has no business on the link or outside is not there."""
    stack, spread = graph.outputs["settings"]["name"], bool(graph.outputs["settings"]["links"])
    for one in graph.containers():
        place, _, kind = one.name.partition("-")
        expected = {place}
        if not spread and place in SITES:
            expected |= {"link"} if kind in ("postgres", "s3", "agent", "worker") else set()
            expected |= {WITNESS} if kind in ("agent", "worker") else set()
        if kind == "s3" and graph.outputs["settings"].get("s3_url"):
            expected |= {f"{place}-outside"}
        joined = {network["name"] for network in one.properties["networksAdvanced"]}
        if joined != {f"{stack}-{name}" for name in expected}:
            yield f"{one.name} is on {sorted(joined)}"


def privileges_are_the_least(graph: Graph) -> Iterator[str]:
    """No capability but those that hand files over, none gained later, none without its prefix."""
    for one in graph.containers():
        capabilities = one.properties.get("capabilities", {})
        if capabilities.get("drops") != ["ALL"] or one.properties.get("privileged"):
            yield f"{one.name} keeps capabilities: {capabilities}"
        if bare := [name for name in capabilities.get("adds", ()) if not name.startswith("CAP_")]:
            yield f"{one.name} adds {bare}: without CAP_ each refresh replaces the container"
        if "no-new-privileges:true" not in one.properties.get("securityOpts", ()):
            yield f"{one.name} can gain privileges"
        if one.properties.get("init"):
            yield f"{one.name} runs under an init that stays root and may not signal it: stops are kills"


def durations_are_in_the_form_of_go(graph: Graph) -> Iterator[str]:
    """The engine gives durations back in Go's own form: in any other, each preview shows a change."""
    for one in graph.containers():
        check = one.properties.get("healthcheck", {})
        for key in ("interval", "timeout", "startPeriod"):
            if key in check and not is_in_form_of_go(check[key]):
                yield f"{one.name}.healthcheck.{key} is {check[key]!r}"


def health_is_waited_for(graph: Graph) -> Iterator[str]:
    """What serves is checked and waited for; a changed check makes a new container."""
    for one in graph.containers():
        once = one.name.endswith("-setup")
        wanted: Mapping[str, Any] = {"mustRun": not once, "wait": None if once else True}
        found = {key: one.properties.get(key) for key in wanted}
        if found != wanted or ("healthcheck" in one.properties) is once:
            yield f"{one.name} has {found}, healthcheck {one.properties.get('healthcheck')}"
        if list(one.request.replaceOnChanges) != ["healthcheck"]:
            yield f"{one.name} would keep its old check: replaced on {list(one.request.replaceOnChanges)}"
        if not once and one.properties.get("waitTimeout", 0) < 60:
            yield f"{one.name} is waited for {one.properties.get('waitTimeout')} s"


def containers_end_and_stay_ended(graph: Graph) -> Iterator[str]:
    """A killed container stays dead until someone heals it; on destroy it may end by itself."""
    for one in graph.containers():
        if one.properties.get("restart") != "no" or one.properties.get("rm"):
            yield f"{one.name} comes back, or goes, by itself"
        if one.properties.get("destroyGraceSeconds", 0) < 10:
            yield f"{one.name} is killed on destroy"
        if not one.properties.get("logOpts", {}).get("max-size"):
            yield f"{one.name} may fill the disk with its log"


def stores_keep_their_data(graph: Graph) -> Iterator[str]:
    """Stores have a volume or a folder, by `volumes`: engine 20.10 refuses options of mounts."""
    for one in graph.containers():
        kept = one.properties.get("volumes", ())
        if bool(kept) is not one.name.endswith(("-postgres", "-s3")) or "mounts" in one.properties:
            yield f"{one.name} keeps {kept}"


def data_outlive_new_labels(graph: Graph) -> Iterator[str]:
    """No volume is made anew, and so emptied, because a label or an expiry has changed."""
    for one in graph.of(VOLUME):
        if list(one.request.ignoreChanges) != ["labels"]:
            yield f"{one.name} goes with its labels: ignored are changes of {list(one.request.ignoreChanges)}"


def secrets_are_marked(graph: Graph) -> Iterator[str]:
    """Files and variables are secrets, and neither the key nor what is derived from it is in the clear."""
    for one in graph.containers():
        for shown in {"uploads", "envs"} & one.properties.keys() - one.secrets:
            yield f"{one.name} shows its {shown}"
    derived = secrets_of(Published.read(graph.outputs))
    for one in graph.registered.values():
        if found := [text for text in derived if text in one.plain]:
            yield f"{one.type} {one.name} shows {len(found)} secret(s)"
    if graph.secret_outputs != {"key"}:
        yield f"the secret outputs are {sorted(graph.secret_outputs)}"
    for name, value in graph.outputs.items():
        if name != "key" and any(text in str(value) for text in derived):
            yield f"the output {name} shows a secret"


def sites_differ_only_in_name_region_and_addresses(graph: Graph) -> Iterator[str]:
    """What is said of one site is said of the other, word for word, once these are taken out."""
    east, west = (Counter(_said(graph, site)) for site in SITES)
    for site, only in zip(SITES, (east - west, west - east), strict=True):
        for said in sorted(only):
            yield f"only of {site} it is said: {said}"
    if not east:
        yield "nothing is said of any site"


CHECKS: tuple[Check, ...] = (
    no_site_needs_the_other,
    nothing_at_the_witness_needs_a_site,
    containers_need_what_they_use,
    stores_come_first,
    everything_has_a_parent,
    each_place_has_its_own_engine,
    names_are_explicit,
    everything_says_whose_it_is,
    images_are_found_before_they_are_pulled,
    networks_have_configured_addresses,
    nothing_listens_outside_its_network,
    joins_only_what_it_needs,
    privileges_are_the_least,
    durations_are_in_the_form_of_go,
    health_is_waited_for,
    containers_end_and_stay_ended,
    stores_keep_their_data,
    data_outlive_new_labels,
    secrets_are_marked,
    sites_differ_only_in_name_region_and_addresses,
)


def is_in_form_of_go(duration: str) -> bool:
    """Say whether Go would write this duration just so: `1m0s`, `1.5s`, not `60s`, `1500ms`."""
    if found := re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(\d+(?:\.\d*[1-9])?)s", duration):
        hours, minutes, seconds = found.groups()
        carried = float(seconds) < 60 and int(minutes or 0) < 60
        return (
            carried and (hours is None or minutes is not None) and not re.search(r"(?:^|[hm])0\d", duration)
        )
    return re.fullmatch(r"[1-9]\d{0,2}(?:\.\d*[1-9])?ms", duration) is not None


def secrets_of(published: Published) -> set[str]:
    """The stack's key, and every password and secret key that is derived from it."""
    keys = published.keys
    passwords = {one.reveal() for site in SITES for one in keys.passwords(site).values()}
    pairs = {secret for place in two_sites().places for secret in keys.of_store(place).values()}
    return {published.key.reveal(), *passwords, *pairs}


def _said(graph: Graph, site: str) -> Iterator[str]:
    other = SITES[1 - SITES.index(site)]
    secret = re.compile(
        "|".join(re.escape(text) for text in sorted(secrets_of(Published.read(graph.outputs))))
    )
    for one in graph.registered.values():
        if graph.place_of(one) == site and one.type != STACK:
            needed = {"needs": [graph.registered[urn].name for urn in one.needs]}
            for said in _leaves({**one.properties, **needed}, f"{one.type} {one.name}"):
                neutral = secret.sub("SECRET", said).replace(site, "HERE").replace(other, "THERE")
                neutral = re.sub(r"\d+\.\d+\.\d+\.\d+", "ADDRESS", neutral)
                neutral = re.sub(r"us-(?:HERE|THERE)-1", "REGION", neutral)
                yield re.sub(r"\b(?:source|target)\b", "ROLE", neutral)


def _leaves(value: Any, path: str) -> Iterator[str]:
    """Return every value with its path; places in a list are left out, since they follow the names."""
    if isinstance(value, str) and value.startswith("{"):
        value = json.loads(value)
    if isinstance(value, Mapping):
        named = value.get("file") or value.get("label") or value.get("containerPath") or ""
        for key, one in value.items():
            yield from _leaves(one, f"{path}.{named}{key}")
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one, path)
    else:
        yield f"{path} = {value}"
