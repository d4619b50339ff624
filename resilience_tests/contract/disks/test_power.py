"""The disks of a whole stack, on real file systems in files: what a killed harness did to them is undone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.disks.fullness import FILE
from infra.disks.loop import why_impossible
from infra.embedded import power
from infra.embedded.state import StackFolder

WHY_NOT = why_impossible()
pytestmark = pytest.mark.skipif(
    WHY_NOT is not None, reason=f"NOT TRIED, no disks of their own here: {WHY_NOT}"
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StackFolder]:
    made = StackFolder("full", tmp_path / "stack", tmp_path / "reach")
    made.make()
    yield made
    power.unplug(made)


async def test_a_disk_that_a_killed_harness_filled_has_room_when_its_site_is_mended(
    folder: StackFolder,
) -> None:
    await power.plug_in(folder, ["east"])
    await power.fill(folder, "east")
    assert (folder.server("east") / FILE).exists()
    await power.restore(folder, ["east", "west"])
    assert not (folder.server("east") / FILE).exists()
