"""What containers are given beside their image, as secrets that Pulumi keeps."""

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from cutover.model.secret import Secret
from infra.blueprint.containers import UPLOADED, Blueprint, Container
from infra.blueprint.files import Files
from infra.blueprint.keys import BYTES_MIN
from infra.components.exports import keys_of

ROOT_ONLY = "0600"
"""Mode of what is uploaded: the entry reads it as root, and hands copies to the service's user."""

_NO_KEY = "-" * BYTES_MIN
"""Stands for the key where only names are asked for, since names do not depend on it."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Files and variables of the containers of a stack; their names are plain, what is in them is secret.

    Only texts are made inside `apply`: a resource made there would be missing
    from a preview whose key is not known yet.
    """

    blueprint: Blueprint
    key: pulumi.Output[str]  #: secret

    def uploads(self, container: Container) -> list[docker.ContainerUploadArgs]:
        """Return the files of a container."""
        return [
            docker.ContainerUploadArgs(
                file=f"{UPLOADED}/{path}", content=self._file(container, path), permissions=ROOT_ONLY
            )
            for path in sorted(self._files(_NO_KEY).of(container))
        ]

    def variables(self, container: Container) -> list[pulumi.Output[str]]:
        """Return the environment of a container, as NAME=VALUE."""
        return [
            self._variable(container, name) for name in sorted(self._files(_NO_KEY).environment(container))
        ]

    def _file(self, container: Container, path: str) -> pulumi.Output[str]:
        return self.key.apply(lambda key: self._files(key).of(container)[path])

    def _variable(self, container: Container, name: str) -> pulumi.Output[str]:
        return self.key.apply(lambda key: f"{name}={self._files(key).environment(container)[name]}")

    def _files(self, key: str) -> Files:
        return Files.usual(self.blueprint, keys_of(self.blueprint.settings, Secret(key)))
