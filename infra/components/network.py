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
    host: str | None  #: of the engine that runs both sites; None: the usual one
    labels: Labels


class Link(pulumi.ComponentResource):
    """The network between the sites. Neither site depends on the other, both on this."""

    network: docker.Network

    def __init__(self, name: str, args: LinkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("cutover:infra:Link", name, {}, opts)
        provider = engine(name, args.host, self)
        self.network = docker.Network(
            name,
            network_args(args.network, args.labels),
            pulumi.ResourceOptions(parent=self, provider=provider, delete_before_replace=True),
        )
        self.register_outputs({"network": self.network.name})


def engine(name: str, host: str | None, parent: pulumi.Resource) -> docker.Provider | None:
    """Return a provider for the engine at `host`; None leaves it to DOCKER_HOST or `docker:host`."""
    if host is None:
        return None
    return docker.Provider(name, docker.ProviderArgs(host=host), pulumi.ResourceOptions(parent=parent))


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
