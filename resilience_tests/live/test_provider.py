"""The program's graph under the code of the provider that Pulumi bridges, on a real engine, with OpenTofu.

Nearer to `pulumi up` than the applier, where there is no Pulumi: creation, the second plan, the refresh
and the destruction are the provider's own. In order: each test goes on from what the one before it left.
Needs a Docker engine and `tofu`; `tofu init` fetches the provider, unless CUTOVER_DOCKER_PROVIDER names
a folder that has `terraform-provider-docker`.
"""

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from infra.components.labels import PLACE
from infra.containers.claims import of_stack
from infra.containers.leftovers import remove
from infra.images.build import ensure_image
from resilience_tests.contract.containers.field import why_no_engine
from resilience_tests.live.deployed import ALL_WELL, Deployed
from resilience_tests.spec.infra.program.graph import declare
from resilience_tests.spec.infra.program.opentofu import SOURCE, opentofu

COMMAND_SECONDS = 300

SUBNET = "198.18.132.0/22"
"""Outside of the range from which stacks take theirs."""

NOTHING_TO_CHANGE, CHANGES = 0, 2
"""Exit status of a plan with -detailed-exitcode."""


@dataclass(frozen=True)
class Deployment(Deployed):
    """One stack, and the folder of its configuration and state."""

    folder: Path
    environment: dict[str, str]

    def run(self, *words: str, expected: int = 0) -> str:
        ended = subprocess.run(
            ["tofu", *words, "-no-color", "-input=false"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        said = ended.stderr.partition("Error:")[2][:1000] or ended.stdout[-3000:]
        assert ended.returncode == expected, f"tofu {' '.join(words)} ended with {ended.returncode}: {said}"
        return ended.stdout

    def declare(self, expires: str | None = None) -> None:
        graph = declare(
            "dev", image=ensure_image(self.engine), name=self.name, subnet=SUBNET, expires=expires
        )
        (self.folder / "main.tf.json").write_text(json.dumps(opentofu(graph)))


def why_not() -> str | None:
    """Say what is missing, or return None."""
    return why_no_engine() or (None if shutil.which("tofu") else "`tofu` is not on PATH")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    if reason := why_not():
        pytest.skip(f"NOT TRIED, no OpenTofu here: {reason}")
    folder = tmp_path_factory.mktemp("tofu")
    environment = {**os.environ, "CHECKPOINT_DISABLE": "1"}
    if at_hand := os.environ.get("CUTOVER_DOCKER_PROVIDER"):
        (folder / "tofurc").write_text(
            f'provider_installation {{\n  dev_overrides {{ "{SOURCE}" = "{at_hand}" }}\n  direct {{}}\n}}\n'
        )
        environment["TF_CLI_CONFIG_FILE"] = str(folder / "tofurc")
    engine = docker.from_env()
    made = Deployment(f"tofu-{uuid.uuid4().hex[:8]}", engine, folder, environment)
    made.declare()
    try:
        if not at_hand:
            must_be_fetched(made)
        yield made
    finally:
        remove(engine, of_stack(made.name))
        engine.close()


def must_be_fetched(made: Deployment) -> None:
    try:
        made.run("init")
    except AssertionError as error:
        if "available provider packages" not in str(error):
            raise
        pytest.skip(f"NOT TRIED, the provider {SOURCE} cannot be fetched: {error}")


def test_one_command_brings_up_everything_healthy(deployment: Deployment) -> None:
    began = time.monotonic()
    deployment.run("apply", "-auto-approve")
    print(f"up after {time.monotonic() - began:.1f} s")  # noqa: T201  # a figure for whoever runs it with -s
    assert deployment.states() == ALL_WELL


def test_a_second_plan_has_nothing_to_change_whether_refreshed_or_not(deployment: Deployment) -> None:
    for refreshed in ("true", "false"):
        deployment.run("plan", "-detailed-exitcode", f"-refresh={refreshed}", expected=NOTHING_TO_CHANGE)


def test_a_new_expiry_replaces_no_volume(deployment: Deployment) -> None:
    deployment.declare(expires="2099-01-31T18:00:00Z")
    try:
        said = deployment.run("plan", "-detailed-exitcode", expected=CHANGES)
    finally:
        deployment.declare()
    assert "docker_container.east-postgres must be replaced" in said
    _, begins, planned = said.partition("OpenTofu will perform")
    assert begins
    assert "docker_volume" not in planned


def test_a_killed_site_is_healed_and_its_containers_are_the_same(deployment: Deployment) -> None:
    before = {one.id for one in deployment.containers()}
    deployment.kill_site("east")
    deployment.run("apply", "-auto-approve")
    deployment.wait_until_healthy()
    assert {one.id for one in deployment.containers()} == before, "healed means started again, not made anew"
    deployment.run("plan", "-detailed-exitcode", expected=NOTHING_TO_CHANGE)


def test_containers_that_were_removed_come_back_to_their_data(deployment: Deployment) -> None:
    volumes = {name for name in deployment.left if name.endswith(("-postgres", "-s3"))}
    for one in deployment.containers(**{PLACE: "west"}):
        one.remove(force=True)
    deployment.run("apply", "-auto-approve")
    assert deployment.states() == ALL_WELL
    assert volumes <= set(deployment.left)
    deployment.run("plan", "-detailed-exitcode", expected=NOTHING_TO_CHANGE)


def test_destroy_leaves_nothing(deployment: Deployment) -> None:
    assert deployment.left
    deployment.run("destroy", "-auto-approve")
    assert deployment.left == []
