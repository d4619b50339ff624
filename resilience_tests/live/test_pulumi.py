"""The program under the real Pulumi: up, nothing to change, a killed site healed, destroyed without a trace.

In order: each test goes on from what the one before it left. Needs the Pulumi CLI with its Python host
and the docker provider, which no package index carries, and a Docker engine.
"""

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from infra.components.exports import OUTPUTS, Published
from infra.containers.claims import of_stack
from infra.containers.engine import Engine
from infra.containers.leftovers import remove
from infra.embedded.errors import StackError
from infra.images.build import ensure_image
from infra.policy.declared import CONTAINER
from resilience_tests.live.deployed import ALL_WELL, Deployed
from resilience_tests.spec.infra.program.checks import VOLUME, secrets_of
from resilience_tests.style.sources import ROOT

PROGRAMS = ("pulumi", "pulumi-language-python")
PROVIDER = "pulumi-resource-docker"
ANALYZER = "pulumi-analyzer-policy-python"

COMMAND_SECONDS = 300
MISCOUNTED = "waiting for state to become 'removed'"
"""What the provider says of a network that the engine takes for used all the time, though it is empty."""

SUBNET = "198.18.124.0/22"


def why_not() -> str | None:
    """Say what is missing for Pulumi to run here, or return None."""
    for program in PROGRAMS:
        if shutil.which(program) is None:
            return f"{program} is not on PATH"
    plugins = Path(os.environ.get("PULUMI_HOME", Path.home() / ".pulumi")) / "plugins"
    if shutil.which(PROVIDER) is None and not any(plugins.glob("resource-docker-v*/pulumi-resource-docker")):
        return f"neither PATH nor {plugins} has {PROVIDER}"
    if not (ROOT / ".venv" / "bin" / "python").exists():
        return "the checkout has no .venv, and Pulumi.yaml names it"
    try:
        Engine.at().client.close()
    except StackError as error:
        return str(error)
    return None


@pytest.fixture(scope="module", autouse=True)
def _pulumi() -> None:
    if reason := why_not():
        pytest.skip(f"NOT TRIED, no Pulumi here: {reason}")


@dataclass(frozen=True)
class Deployment(Deployed):
    """One stack of the program under the real CLI, with a backend of its own."""

    environment: dict[str, str]

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            ["pulumi", *words, "--non-interactive"],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        said = f"{ended.stdout[-4000:]}\n{ended.stderr[-2000:]}"
        assert not (check and ended.returncode), f"pulumi {words[0]} ended with {ended.returncode}: {said}"
        return ended

    def configure(self, *words: str) -> None:
        self.run("config", "set", *words, "--stack", self.name)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("pulumi")
    (folder / "state").mkdir()
    environment = {
        **os.environ,
        "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "of-a-test",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    engine = docker.from_env()
    made = Deployment(f"t{uuid.uuid4().hex[:8]}", engine, environment)
    try:
        made.run("stack", "init", made.name)
        made.configure("cutover:image", ensure_image(engine))
        made.configure("cutover:subnet", SUBNET)
        made.configure("--secret", "cutover:key", uuid.uuid4().hex)
        yield made
    finally:
        made.run("destroy", "--yes", "--skip-preview", "--stack", made.name, check=False)
        made.run("stack", "rm", "--force", "--yes", made.name, check=False)
        (ROOT / "infra" / "stacks" / f"Pulumi.{made.name}.yaml").unlink(missing_ok=True)
        remove(engine, of_stack(made.name))
        engine.close()


def test_one_command_brings_up_everything_healthy(deployment: Deployment) -> None:
    deployment.run("up", "--yes", "--skip-preview", "--stack", deployment.name)
    assert deployment.states() == ALL_WELL


def test_a_second_preview_has_nothing_to_change(deployment: Deployment) -> None:
    deployment.run("preview", "--expect-no-changes", "--stack", deployment.name)


def test_a_refresh_finds_nothing_either(deployment: Deployment) -> None:
    deployment.run("preview", "--refresh", "--expect-no-changes", "--stack", deployment.name)


def test_a_new_expiry_reaches_the_containers_and_replaces_no_volume(deployment: Deployment) -> None:
    deployment.configure("cutover:expires", "2099-01-31T18:00:00Z")
    try:
        changed = steps(deployment)
    finally:
        deployment.run("config", "rm", "cutover:expires", "--stack", deployment.name)
    assert "east-postgres" in changed[CONTAINER]
    assert VOLUME not in changed


def test_its_outputs_are_enough_to_know_the_stack(deployment: Deployment) -> None:
    outputs = published(deployment)
    settings = Published.read(outputs).settings
    assert (settings.name, settings.subnet) == (deployment.name, SUBNET)
    assert set(outputs[OUTPUTS]["sites"]) == {"east", "west"}


def test_no_secret_is_anywhere_in_the_clear(deployment: Deployment) -> None:
    """Neither the key nor what is derived from it: not in the outputs, the state, or `docker inspect`."""
    secrets = secrets_of(Published.read(published(deployment)))
    shown = {
        "outputs": deployment.run("stack", "output", "--json", "--stack", deployment.name).stdout,
        "state": deployment.run("stack", "export", "--stack", deployment.name).stdout,
        **{str(one.name): json.dumps(one.attrs) for one in deployment.containers()},
    }
    leaks = {where: count for where, text in shown.items() if (count := sum(one in text for one in secrets))}
    assert leaks == {}


def test_a_killed_site_is_healed_by_a_refreshing_up(deployment: Deployment) -> None:
    before = {one.id for one in deployment.containers()}
    deployment.kill_site("east")
    deployment.run("up", "--yes", "--skip-preview", "--refresh", "--stack", deployment.name)
    deployment.wait_until_healthy()
    assert {one.id for one in deployment.containers()} == before, "healed means started again, not made anew"
    deployment.run("preview", "--expect-no-changes", "--stack", deployment.name)


@pytest.mark.skipif(shutil.which(ANALYZER) is None, reason=f"NOT TRIED: {ANALYZER} is not on PATH")
def test_the_policy_pack_lets_this_pass_and_stops_an_unsafe_change(deployment: Deployment) -> None:
    words = ("preview", "--policy-pack", str(ROOT / "infra" / "policy"), "--stack", deployment.name)
    deployment.run(*words)
    deployment.configure("--path", "cutover:postgres.fsync", "off")
    try:
        stopped = deployment.run(*words, check=False)
    finally:
        deployment.run("config", "rm", "--path", "cutover:postgres", "--stack", deployment.name)
    assert stopped.returncode
    assert "acknowledged commits would be lost" in stopped.stdout + stopped.stderr


def test_destroy_leaves_nothing(deployment: Deployment) -> None:
    """But for a network that the engine miscounts after a death of many at once (moby/moby#42119)."""
    assert deployment.left
    ended = deployment.run("destroy", "--yes", "--skip-preview", "--stack", deployment.name, check=False)
    if ended.returncode and MISCOUNTED in ended.stdout + ended.stderr:
        assert set(deployment.left) <= {f"{deployment.name}-east", f"{deployment.name}-link"}
        pytest.skip(f"NOT TRIED, the engine takes empty networks for used: {deployment.left}")
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]
    assert deployment.left == []


def published(deployment: Deployment) -> dict[str, Any]:
    words = ("stack", "output", "--json", "--show-secrets", "--stack", deployment.name)
    return dict(json.loads(deployment.run(*words).stdout))


def steps(deployment: Deployment) -> dict[str, set[str]]:
    """Names of what the next update would change, by type."""
    found = json.loads(deployment.run("preview", "--json", "--stack", deployment.name).stdout)
    changed: dict[str, set[str]] = {}
    for step in found["steps"]:
        if step["op"] != "same":
            _, _, types, name = step["urn"].split("::", 3)
            changed.setdefault(types.rpartition("$")[2], set()).add(name)
    return changed
