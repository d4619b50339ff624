"""The whole stack: the link, the witness and two sites, joined where one engine runs them all."""

import json
from dataclasses import dataclass
from typing import Any

import pulumi

from infra.blueprint.containers import Blueprint
from infra.components.contents import Contents
from infra.components.exports import KEY, OUTPUTS, SETTINGS, document_of
from infra.components.labels import Labels
from infra.components.network import Link, LinkArgs
from infra.components.place import PlaceArgs
from infra.components.settings import Configuration
from infra.components.site import Site, SiteArgs
from infra.components.witness import Witness
from infra.containers.claims import PULUMI, Claim
from infra.contract import Run, outputs_of
from infra.topology import OPERATOR, WITNESS

KIND = "pulumi"
"""What the outputs say made the stack."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Composes the components of one configuration."""

    configuration: Configuration

    @property
    def blueprint(self) -> Blueprint:
        return Blueprint(self.configuration.settings)

    def deploy(self) -> None:
        """Declare every resource, and publish the outputs."""
        link, witness = self._link(), Witness(WITNESS, PlaceArgs(**self._given(WITNESS), joined={}))
        joined = {} if link is None else self._joined(link, witness)
        for site in self.blueprint.addresses.topology.sites:
            given = self._given(site.name)
            Site(site.name, SiteArgs(**given, joined=joined, role=site.role, region=site.region))
        self._publish()

    def _link(self) -> Link | None:
        network = self.blueprint.link
        if network is None:
            return None
        shared = self.configuration.engine_of(WITNESS)  # no link without one engine for all places
        return Link(network.place, LinkArgs(network=network, engine=shared, labels=self._labels))

    def _joined(self, link: Link, witness: Witness) -> dict[str, pulumi.Output[str]]:
        name_of = self.blueprint.name_of
        return {name_of("link"): link.network.name, name_of(WITNESS): witness.network.name}

    def _given(self, place: str) -> dict[str, Any]:
        return {
            "place": self.blueprint.place(place),
            "engine": self.configuration.engine_of(place),
            "labels": self._labels,
            "contents": Contents(self.blueprint, self.configuration.key),
        }

    @property
    def _labels(self) -> Labels:
        settings = self.configuration.settings
        claim = Claim(stack=settings.name, owner=PULUMI, expires=self.configuration.expires)
        return Labels(claim, settings.labels)

    def _publish(self) -> None:
        settings = self.configuration.settings
        seen = outputs_of(self.blueprint.addresses, Run(settings.name, 1), OPERATOR, KIND)
        pulumi.export(OUTPUTS, json.loads(seen.to_json()))
        pulumi.export(SETTINGS, document_of(settings))
        pulumi.export(KEY, self.configuration.key)
