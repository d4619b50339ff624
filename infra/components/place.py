"""A failure domain: the sites and the witness are two kinds of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_docker as docker

from infra.blueprint.containers import Container, Place
from infra.components.container import Given, container_args
from infra.components.contents import Contents
from infra.components.labels import Labels
from infra.components.network import engine, network_args


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceArgs:
    """What a place is made from."""

    place: Place
    engine: docker.ProviderArgs  #: where its engine is
    labels: Labels
    contents: Contents
    joined: Mapping[str, pulumi.Output[str]]
    """Names of the networks of others that it may join, by the blueprint's name."""


class Standing(pulumi.ComponentResource):
    """Everything at one place: an engine's provider, images, network, volumes and containers."""

    network: docker.Network
    outside: docker.Network | None  #: the way out of its store, where the server stands elsewhere
    containers: Mapping[str, docker.Container]  #: by kind

    def __init__(
        self,
        token: str,
        name: str,
        args: PlaceArgs,
        told: Mapping[str, Any],
        opts: pulumi.ResourceOptions | None,
    ) -> None:
        super().__init__(token, name, dict(told), opts)
        self._name, self._args = name, args
        self._provider = engine(name, args.engine, self)
        self._images = {image: self._image(kind, image) for image, kind in self._image_names().items()}
        self.network = docker.Network(
            name, network_args(args.place.network, args.labels), self._options(delete_before_replace=True)
        )
        self.outside = self._way_out()
        self._volumes = self._all_volumes()
        self.containers = self._all_containers()
        self.register_outputs({**told, "network": self.network.name})

    def _options(self, **more: Any) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, provider=self._provider, **more)

    def _way_out(self) -> docker.Network | None:
        if (network := self._args.place.outside) is None:
            return None
        args = network_args(network, self._args.labels)
        return docker.Network(f"{self._name}-outside", args, self._options(delete_before_replace=True))

    def _networks(self) -> Mapping[str, pulumi.Output[str]]:
        """Return the names of all networks that containers here may join, by the blueprint's name."""
        place = self._args.place
        own = {place.network.name: self.network.name}
        if place.outside is not None and self.outside is not None:
            own[place.outside.name] = self.outside.name
        return {**self._args.joined, **own}

    def _image_names(self) -> Mapping[str, str]:
        """Return each image that is run here, with the first kind that runs it."""
        names: dict[str, str] = {}
        for one in self._args.place.containers:
            names.setdefault(one.image, one.kind)
        return names

    def _image(self, kind: str, image: str) -> docker.RemoteImage:
        """Find an image on the engine, or pull it there; it stays when the stack goes."""
        return docker.RemoteImage(
            f"{self._name}-{kind}", docker.RemoteImageArgs(name=image, keep_locally=True), self._options()
        )

    def _all_volumes(self) -> Mapping[str, docker.Volume]:
        return {
            mount.volume: self._volume(one, mount.volume)
            for one in self._args.place.containers
            for mount in one.mounts
            if mount.volume
        }

    def _volume(self, keeper: Container, name: str) -> docker.Volume:
        """Declare a volume whose labels may change: else the provider would delete it with its data."""
        labels = self._args.labels.of_data(keeper.place, keeper.kind)
        return docker.Volume(
            f"{self._name}-{keeper.kind}",
            docker.VolumeArgs(
                name=name,
                labels=[docker.VolumeLabelArgs(label=label, value=value) for label, value in labels.items()],
            ),
            self._options(delete_before_replace=True, ignore_changes=["labels"]),
        )

    def _all_containers(self) -> Mapping[str, docker.Container]:
        made: dict[str, docker.Container] = {}
        for one in sorted(self._args.place.containers, key=lambda one: not one.mounts):
            made[one.kind] = self._container(one, [made[kind] for kind in self._before(one) if kind in made])
        return made

    def _before(self, container: Container) -> tuple[str, ...]:
        """Return the kinds at this place that must be healthy first.

        The stores come before all that uses them: an engine that does few
        things at a time would else wait for a service whose store is still in line.
        """
        if container.mounts:
            return container.after
        stores = tuple(one.kind for one in self._args.place.containers if one.mounts)
        return tuple(dict.fromkeys((*stores, *container.after)))

    def _container(self, one: Container, before: list[docker.Container]) -> docker.Container:
        contents = self._args.contents
        given = Given(
            image=self._images[one.image].image_id,
            networks=self._networks(),
            volumes={name: volume.name for name, volume in self._volumes.items()},
            uploads=contents.uploads(one),
            variables=contents.variables(one),
            labels=self._args.labels.of(one.place, one.kind),
        )
        options = self._options(
            depends_on=before, delete_before_replace=True, replace_on_changes=["healthcheck"]
        )
        return docker.Container(f"{self._name}-{one.kind}", container_args(one, given), options)
