"""Building: from nothing, from a change of code, and not at all when nothing has changed."""

import hashlib
import io
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import docker
import pytest

from infra.images.base import base_tag, write_base
from infra.images.build import build_image, ensure_image, find_base, read_inputs
from infra.images.errors import BuildFailed

BYTES_MAX = 300_000_000
"""Largest image (bytes): what a host downloads or builds before its first drill."""

FRESH_SECONDS = 3600
"""Within this time the distribution is taken to have the same packages (seconds)."""


def silent(_: str) -> None:
    """Hear progress and say nothing."""


def test_an_unchanged_checkout_builds_nothing(client: docker.DockerClient, image: str) -> None:
    inputs = read_inputs()
    base = find_base(client, None, silent)
    build_image(client, base, inputs, silent)
    said: list[str] = []
    build_image(client, base, inputs, said.append)
    assert said == []


def test_two_builds_at_once_make_one_image(client: docker.DockerClient, image: str) -> None:
    inputs, base = read_inputs(), find_base(client, None, silent)
    changed = replace(inputs, code={**inputs.code, "drill/of_two.py": b'"""Nothing."""\n'})
    said: list[str] = []
    with ThreadPoolExecutor() as pool:
        builds = [pool.submit(build_image, client, base, changed, said.append) for _ in range(2)]
        (tag,) = {build.result() for build in builds}
    client.images.remove(tag)
    assert said == [f"image: {tag}"]


def test_the_image_is_small(client: docker.DockerClient, image: str) -> None:
    assert client.images.get(image).attrs["Size"] < BYTES_MAX


def test_a_change_of_code_makes_only_its_own_layers(client: docker.DockerClient, image: str) -> None:
    inputs, base = read_inputs(), find_base(client, None, silent)
    before = build_image(client, base, inputs, silent)
    changed = replace(inputs, code={**inputs.code, "drill/of_a_test.py": b'"""Nothing."""\n'})
    after = build_image(client, base, changed, silent)
    try:
        old, new = (client.images.get(tag).attrs["RootFS"]["Layers"] for tag in (before, after))
        assert before != after
        assert 1 <= len(set(new) - set(old)) <= 2, (old, new)
    finally:
        client.images.remove(after)


def test_the_base_has_the_same_bytes_each_time(
    client: docker.DockerClient, image: str, tmp_path: Path
) -> None:
    """The engine names a layer after its bytes, so the base that it has is the first time."""
    base = client.images.get(base_tag())
    made = datetime.fromisoformat(base.attrs["Metadata"]["LastTagTime"][:19] + "+00:00")
    write_base(tmp_path / "again.tar")
    (layer,) = base.attrs["RootFS"]["Layers"]
    if time.time() - made.timestamp() > FRESH_SECONDS:
        write_base(tmp_path / "first.tar")
        layer = digest(tmp_path / "first.tar")
    assert digest(tmp_path / "again.tar") == layer


def test_a_base_that_is_nowhere_is_named(client: docker.DockerClient) -> None:
    with pytest.raises(BuildFailed, match="no image 'cutover-test/nowhere:1'"):
        ensure_image(client, base="cutover-test/nowhere:1")


def test_another_base_is_stood_on(client: docker.DockerClient, image: str) -> None:
    """An image of a registry says in no label of ours what it has; its own Python is asked."""
    client.images.get(base_tag()).tag("cutover-test-base", "1")
    try:
        assert ensure_image(client, base="cutover-test-base:1") == ensure_image(client)
    finally:
        client.images.remove("cutover-test-base:1")


def test_a_base_without_python_and_without_apt_says_so(client: docker.DockerClient, image: str) -> None:
    """Built from the local base by taking its Python away: nothing can install another."""
    recipe = f"FROM {base_tag()}\nRUN rm /usr/bin/python3\nENV PYTHON_VERSION=\n"
    bare, _ = client.images.build(fileobj=io.BytesIO(recipe.encode()), tag="cutover-test-bare:1", rm=True)
    try:
        with pytest.raises(BuildFailed, match="apt-get: command not found"):
            ensure_image(client, base="cutover-test-bare:1")
    finally:
        client.images.remove(str(bare.id))


def digest(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
