"""A run's own settings reach the servers of its containers, and are gone with the run."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from cutover.model.outputs import Outputs
from cutover.model.secret import Secret
from drill.live.services import extras_of
from infra.blueprint.containers import Blueprint
from infra.blueprint.files import Files
from infra.blueprint.keys import Keys
from infra.blueprint.settings import StackSettings
from infra.containers.description import ContainerDescription
from infra.containers.pulumi_stack import PulumiStack
from infra.containers.stack import ContainerStack
from infra.contract import Run
from infra.embedded.errors import StackError
from infra.embedded.state import StateFolder
from infra.topology import OPERATOR

SETTINGS = StackSettings(name="shop", image="cutover-site:test")
KEYS = Keys(Secret("k" * 32))


def told(extras: Mapping[str, Mapping[str, object]], site: str) -> Mapping[str, object]:
    """Return what the server of a site is told."""
    blueprint = Blueprint(SETTINGS)
    files = Files(blueprint, KEYS, Run("shop", 1), "docker", {}, extras).of(
        blueprint.containers[f"{site}/postgres"]
    )
    settings: Mapping[str, object] = json.loads(files["service.json"])["postgres"]["settings"]
    return settings


def test_servers_get_the_settings_of_their_kind_then_their_own() -> None:
    extras = {"postgres": {"fsync": "off"}, "west/postgres": {"fsync": "on"}}
    assert [told(extras, site)["fsync"] for site in ("east", "west")] == ["off", "on"]
    assert told({}, "east")["fsync"] == "on"


class Recording(ContainerStack):
    """A stack without an engine: what is done to its servers is written down."""

    def __init__(self, folder: StateFolder) -> None:
        self.folder = folder.stack("shop")
        self.folder.make()
        self.description = ContainerDescription(settings=SETTINGS, keep=False, made_by="applier")
        self._keys = KEYS
        self._given = ({}, {})
        self.done: list[str] = []

    async def _end_run(self) -> None:
        self.done.append(f"end {self.run}")

    async def _begin_run(self) -> None:
        self.done.append(f"begin {self.run}")

    async def stop(self, process: str, *, seconds: float = 5.0) -> None:
        self.done.append(f"stop {process}")

    async def start(
        self, process: str, *, entry: str | None = None, settings: Mapping[str, object] | None = None
    ) -> None:
        self.done.append(f"start {process}")

    async def _database(self, site: str, do: str) -> None:
        self.done.append(f"{do} {self.run} at {site}")

    def outputs(self, viewer: str = OPERATOR) -> Outputs:
        return Outputs(name="shop", kind="docker", sites={}, witness=None)  # type: ignore[arg-type]


async def test_a_planted_setting_of_the_databases_restarts_them_and_so_does_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTOVER_STATE", str(tmp_path / "state"))
    stack = Recording(StateFolder.open())
    await stack.fresh(extras=extras_of("fsync-off"))
    restarted = {one for one in stack.done if "postgres" in one}
    assert restarted == {f"{do} {site}/postgres" for site in stack.sites for do in ("stop", "start")}
    assert stack.done[0] == "end r1"
    assert stack.done[-1] == "begin r2"
    stack.done.clear()
    await stack.fresh()
    assert stack.done == ["end r2", "begin r3"]
    await stack.fresh(extras={})
    assert "start east/postgres" in stack.done


async def test_the_databases_of_a_stack_of_pulumis_keep_their_settings() -> None:
    stack = object.__new__(PulumiStack)
    with pytest.raises(StackError, match="--stack docker"):
        await stack.fresh(extras=extras_of("fsync-off"))
