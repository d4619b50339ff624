"""An engine, this checkout's image on it, and a network for the tests of one module."""

from collections.abc import Iterator

import docker
import pytest

from infra.images.build import ensure_image
from infra.images.errors import NoPackageSource, NoTool
from resilience_tests.contract.images.ground import Ground, engine, ground


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    """The engine that DOCKER_HOST names, or the usual one."""
    found = engine()
    if isinstance(found, str):
        pytest.skip(f"NOT TRIED, no containers here: {found}")
    yield found
    found.close()


@pytest.fixture(scope="session")
def image(client: docker.DockerClient) -> str:
    """This checkout's image; it stays on the engine, where the next run finds it."""
    try:
        return ensure_image(client)
    except (NoTool, NoPackageSource) as error:
        pytest.skip(f"NOT TRIED, no image can be made here: {error}")


@pytest.fixture(scope="module")
def on(client: docker.DockerClient, image: str) -> Iterator[Ground]:
    """A network for the tests of one module."""
    with ground(client, image) as made:
        yield made
