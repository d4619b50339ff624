"""Networks: one for each place, and the link between the sites where one engine runs both."""

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from infra.blueprint.containers import Network
from infra.components.labels import Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkArgs:
    """What the link is made from."""

    network: Network
    engine: docker.ProviderArgs  #: the one that runs both sites
    labels: Labels


class Link(pulumi.ComponentResource):
    """The network between the sites. Neither site depends on the other, both on this."""

    network: docker.Network

    def __init__(self, name: str, args: LinkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("cutover:infra:Link", name, {}, opts)
        provider = engine(name, args.engine, self)
        self.network = docker.Network(
            name,
            network_args(args.network, args.labels),
            pulumi.ResourceOptions(parent=self, provider=provider, delete_before_replace=True),
        )
        self.register_outputs({"network": self.network.name})


def engine(name: str, args: docker.ProviderArgs, parent: pulumi.Resource) -> docker.Provider:
    """Return a provider of the place's own, also where several places share an engine.

    So a place moves to a machine of its own by one setting, and no place is reached through another's.
    """
    return docker.Provider(name, args, pulumi.ResourceOptions(parent=parent))


def network_args(network: Network, labels: Labels) -> docker.NetworkArgs:
    """Return a bridge with addresses of our choice: those that an engine picks differ at each creation."""
    return docker.NetworkArgs(
        name=network.name,
        driver="bridge",
        internal=network.internal,
        ipam_configs=[docker.NetworkIpamConfigArgs(subnet=network.subnet, gateway=network.gateway)],
        labels=[
            docker.NetworkLabelArgs(label=label, value=value)
            for label, value in labels.of(network.place, "network").items()
        ],
    )
