"""The graph that the program declares, for both stacks, and each check against a mistake made on purpose."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pulumi
import pulumi_docker as docker
import pytest

from cutover.model.secret import Secret
from infra.blueprint import addresses, containers
from infra.blueprint.addresses import Addresses, way_out
from infra.blueprint.containers import Blueprint, Container, Health
from infra.blueprint.keys import Keys
from infra.components import container, contents, labels, network, place, stack
from infra.components.container import Given
from infra.components.network import Link
from infra.components.site import Site
from infra.components.witness import Witness
from resilience_tests.spec.infra.program import checks
from resilience_tests.spec.infra.program.checks import CHECKS, Check
from resilience_tests.spec.infra.program.graph import FRONTS, KEY, OWN_STORE, STACKS, as_it_is, declare

A_PASSWORD = Keys(Secret(KEY)).passwords("west")["checker"].reveal()

Patch = pytest.MonkeyPatch
Mistake = Callable[[Patch], None]


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_of_each_stack_it_holds_that(check: Check, name: str) -> None:
    wrong = list(check(as_it_is(name)))
    assert not wrong, f"{(check.__doc__ or '').strip()} But: {wrong}"


@pytest.mark.parametrize("name", STACKS)
def test_a_preview_shows_what_an_update_would_make(name: str) -> None:
    assert declare(name, preview=True).registered.keys() == as_it_is(name).registered.keys()


def container_with(**changed: Any) -> Mistake:
    """Make every container with other arguments."""

    def plant(patch: Patch) -> None:
        made = container.container_args

        def spoilt(one: Container, given: container.Given) -> docker.ContainerArgs:
            args = made(one, given)
            for key, value in changed.items():
                setattr(args, key, value)
            return args

        patch.setattr(place, "container_args", spoilt)

    return plant


def options_with(**changed: Any) -> Mistake:
    """Declare every resource of a place with other options."""

    def plant(patch: Patch) -> None:
        given = place.Standing._options

        def spoilt(self: place.Standing, **more: Any) -> pulumi.ResourceOptions:
            options = given(self, **more)
            for key, value in changed.items():
                setattr(options, key, value)
            return options

        patch.setattr(place.Standing, "_options", spoilt)

    return plant


def west_after_east(patch: Patch) -> None:
    """Let the second site wait for the first."""
    made: list[pulumi.Resource] = []

    def spoilt(name: str, args: Any) -> Any:
        made.append(Site(name, args, pulumi.ResourceOptions(depends_on=[*made])))
        return made[-1]

    patch.setattr(stack, "Site", spoilt)


def witness_on_the_link(patch: Patch) -> None:
    """Let the witness wait for the link between the sites."""
    made: list[pulumi.Resource] = []

    def first(name: str, args: Any) -> Any:
        made.append(Link(name, args))
        return made[-1]

    patch.setattr(stack, "Link", first)
    patch.setattr(
        stack, "Witness", lambda name, args: Witness(name, args, pulumi.ResourceOptions(depends_on=[*made]))
    )


def names_instead_of_resources(patch: Patch) -> None:
    """Name networks, volumes and image as plain texts: the same names, and no edges."""

    def spoilt(*, image: Any, networks: Any, volumes: Any, **rest: Any) -> Given:
        texts = {name: name for name in networks}
        return Given(image="sha256:x", networks=texts, volumes={name: name for name in volumes}, **rest)  # type: ignore[arg-type]

    patch.setattr(place, "Given", spoilt)


def files_as_they_are(patch: Patch) -> None:
    """Upload the files as plain texts."""
    kept = contents.Contents._file
    patch.setattr(
        contents.Contents, "_file", lambda self, one, path: pulumi.Output.unsecret(kept(self, one, path))
    )


def variables_as_they_are(patch: Patch) -> None:
    """Give the variables as plain texts."""
    kept = contents.Contents._variable
    patch.setattr(
        contents.Contents, "_variable", lambda self, one, name: pulumi.Output.unsecret(kept(self, one, name))
    )


def password_in_a_label(patch: Patch) -> None:
    """Put the password of a database into a label."""
    given = labels.Labels.of
    patch.setattr(
        labels.Labels, "of", lambda self, where, kind: {**given(self, where, kind), "team": A_PASSWORD}
    )


def key_as_it_is(patch: Patch) -> None:
    """Publish the key as a plain output."""
    publish = pulumi.export
    patch.setattr(
        pulumi,
        "export",
        lambda name, value: publish(name, pulumi.Output.unsecret(value) if name == "key" else value),
    )


def one_subnet_for_all(patch: Patch) -> None:
    given = network.network_args

    def spoilt(one: Any, marks: Any) -> docker.NetworkArgs:
        args = given(one, marks)
        args.ipam_configs = [docker.NetworkIpamConfigArgs(subnet="198.18.64.0/26")]
        return args

    patch.setattr(network, "network_args", spoilt)
    patch.setattr(place, "network_args", spoilt)


def not_internal(patch: Patch) -> None:
    given = network.network_args
    for module in (network, place):
        patch.setattr(
            module, "network_args", lambda one, marks: given(replace(one, internal=not one.internal), marks)
        )


def on_all_networks(patch: Patch) -> None:
    """Put each container on the witness's network too."""
    given = Blueprint._networks_of

    def spoilt(self: Blueprint, place: str, kind: str) -> Any:
        where = self.name_of("witness")
        return {**given(self, place, kind), where: self.addresses.own(place, kind, "witness")}

    patch.setattr(Blueprint, "_networks_of", spoilt)


def everything_outside(patch: Patch) -> None:
    """Give each container of a place the way out of its front."""
    given = Blueprint._networks_of

    def spoilt(self: Blueprint, place: str, kind: str) -> Any:
        way = way_out(place)
        return {**given(self, place, kind), self.name_of(way): self.addresses.own(place, kind, way)}

    patch.setattr(Blueprint, "_networks_of", spoilt)


def one_way_out_for_all(patch: Patch) -> None:
    """Let all fronts share a network, over which a site reaches its peer past every link."""
    for module in (addresses, containers):
        patch.setattr(module, "way_out", lambda _: "witness-outside")


def bare_capabilities(patch: Patch) -> None:
    patch.setattr(container, "CAPABILITIES", ("CHOWN", "SETUID"))


def a_longer_check_in_the_west(patch: Patch) -> None:
    given = Blueprint._container

    def spoilt(self: Blueprint, place: str, kind: str) -> Container:
        one = given(self, place, kind)
        if place == "west" and one.health:
            return replace(one, health=replace(one.health, retries=9))
        return one

    patch.setattr(Blueprint, "_container", spoilt)


def odd_durations(patch: Patch) -> None:
    given = Blueprint._health

    def spoilt(self: Blueprint, kind: str) -> Health:
        return replace(given(self, kind), interval="1000ms", start_period="90s")

    patch.setattr(Blueprint, "_health", spoilt)


def published_on_the_engines_network(patch: Patch) -> None:
    patch.setattr(Blueprint, "_published", lambda self, where, kind: {8080: "127.0.0.1"})


def unnamed(patch: Patch) -> None:
    patch.setattr(Blueprint, "name_of", lambda self, *words: "-".join(words))


def any_engine(patch: Patch) -> None:
    patch.setattr(place, "engine", lambda name, args, parent: None)


def the_engine_of_this_machine(patch: Patch) -> None:
    """Make a provider for each place, all of one host."""
    given = network.engine
    here = docker.ProviderArgs(host="unix:///var/run/docker.sock")
    patch.setattr(place, "engine", lambda name, args, parent: given(name, here, parent))


def the_link_elsewhere(patch: Patch) -> None:
    given = network.engine
    there = docker.ProviderArgs(host="ssh://elsewhere")
    patch.setattr(network, "engine", lambda name, args, parent: given(name, there, parent))


def nobodys(patch: Patch) -> None:
    patch.setattr(labels.Labels, "of", lambda self, where, kind: {"cutover.place": where})


def any_address(patch: Patch) -> None:
    patch.setattr(Addresses, "own", lambda self, where, kind, name: "")


def pulled_anew(patch: Patch) -> None:
    given = docker.RemoteImageArgs
    patch.setattr(docker, "RemoteImageArgs", lambda name, keep_locally: given(name=name))


MISTAKES: tuple[tuple[Check, str, Mistake], ...] = (
    (checks.no_site_needs_the_other, "dev", west_after_east),
    (checks.no_site_needs_the_other, "staging", west_after_east),
    (checks.nothing_at_the_witness_needs_a_site, "dev", witness_on_the_link),
    (checks.containers_need_what_they_use, "dev", names_instead_of_resources),
    (checks.stores_come_first, "dev", options_with(depends_on=[])),
    (checks.everything_has_a_parent, "dev", options_with(parent=None)),
    (checks.each_place_has_its_own_engine, "dev", any_engine),
    (checks.each_place_has_its_own_engine, "dev", the_link_elsewhere),
    (checks.each_place_has_its_own_engine, "staging", any_engine),
    (checks.each_place_has_its_own_engine, "staging", the_engine_of_this_machine),
    (checks.names_are_explicit, "dev", unnamed),
    (checks.names_are_explicit, "dev", options_with(delete_before_replace=False)),
    (checks.everything_says_whose_it_is, "dev", nobodys),
    (checks.images_are_found_before_they_are_pulled, "dev", pulled_anew),
    (checks.networks_have_configured_addresses, "dev", one_subnet_for_all),
    (checks.networks_have_configured_addresses, "dev", any_address),
    (checks.nothing_listens_outside_its_network, "dev", not_internal),
    (checks.nothing_listens_outside_its_network, "dev", published_on_the_engines_network),
    (checks.nothing_listens_outside_its_network, "staging", published_on_the_engines_network),
    (checks.nothing_listens_outside_its_network, "dev", container_with(network_mode="host")),
    (checks.joins_only_what_it_needs, "dev", on_all_networks),
    (checks.privileges_are_the_least, "dev", bare_capabilities),
    (checks.privileges_are_the_least, "dev", container_with(capabilities=None)),
    (checks.privileges_are_the_least, "dev", container_with(security_opts=None)),
    (checks.durations_are_in_the_form_of_go, "dev", odd_durations),
    (checks.health_is_waited_for, "dev", container_with(wait=None)),
    (checks.health_is_waited_for, "dev", container_with(must_run=True)),
    (checks.health_is_waited_for, "dev", options_with(replace_on_changes=[])),
    (checks.containers_end_and_stay_ended, "dev", container_with(destroy_grace_seconds=0)),
    (checks.containers_end_and_stay_ended, "dev", container_with(restart="always")),
    (checks.stores_keep_their_data, "dev", container_with(volumes=None)),
    (checks.data_outlive_new_labels, "dev", options_with(ignore_changes=[])),
    (checks.secrets_are_marked, "dev", files_as_they_are),
    (checks.secrets_are_marked, "dev", key_as_it_is),
    (checks.secrets_are_marked, "dev", password_in_a_label),
    (checks.secrets_are_marked, OWN_STORE, variables_as_they_are),
    (checks.secrets_are_marked, FRONTS, files_as_they_are),
    (checks.secrets_are_marked, FRONTS, key_as_it_is),
    (checks.nothing_listens_outside_its_network, FRONTS, not_internal),
    (checks.joins_only_what_it_needs, FRONTS, everything_outside),
    (checks.joins_only_what_it_needs, FRONTS, one_way_out_for_all),
    (checks.sites_differ_only_in_name_region_and_addresses, "dev", a_longer_check_in_the_west),
)


@pytest.mark.parametrize(
    ("check", "name", "mistake"),
    MISTAKES,
    ids=[f"{check.__name__}-{number}" for number, (check, _, _) in enumerate(MISTAKES)],
)
def test_it_is_seen_when_it_does_not_hold_that(
    check: Check, name: str, mistake: Mistake, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistake(monkeypatch)
    assert list(check(declare(name)))


def test_each_check_is_shown_a_mistake() -> None:
    assert {check for check, _, _ in MISTAKES} == set(CHECKS)


@pytest.mark.parametrize("duration", ["1s", "1.5s", "1m0s", "1m30s", "1h0m0s", "500ms"])
def test_a_duration_as_go_writes_it_is_known(duration: str) -> None:
    assert checks.is_in_form_of_go(duration)


@pytest.mark.parametrize("duration", ["60s", "1500ms", "1m", "1.0s", "1.50s", "1h5s", "01s", "90m0s", ""])
def test_a_duration_in_another_form_is_found(duration: str) -> None:
    assert not checks.is_in_form_of_go(duration)


@pytest.mark.parametrize("name", STACKS)
def test_the_program_says_the_same_twice(name: str) -> None:
    """What differs from one run to the next would be a change in each preview."""
    first, second = (
        {urn: one.request.object for urn, one in graph.registered.items()}
        for graph in (as_it_is(name), declare(name))
    )
    assert first == second
