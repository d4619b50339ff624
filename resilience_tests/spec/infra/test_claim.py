"""Stacks of other versions of this project may stand on the same machine."""

import json
import os
from pathlib import Path

import pytest

from infra.embedded.claim import claim
from infra.embedded.description import Description
from infra.embedded.services import Services
from infra.embedded.state import StateFolder


def test_a_stack_that_a_newer_version_described_keeps_its_ports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTOVER_STATE", str(tmp_path))
    state = StateFolder.open()
    wanted = Description(
        name="ours",
        keep=False,
        ports={},
        services=Services(),
        postgres_folder="/",
        postgres_version=18,
        schema=None,
    )
    first, lock = claim(state, wanted)
    os.close(lock)
    described = state.stack("ours").description
    described.write_text(json.dumps({**json.loads(described.read_text()), "made_for": "what we do not know"}))
    described.parent.rename(state.stack("newer").path)
    second, lock = claim(state, wanted)
    os.close(lock)
    assert not set(first.ports.values()) & set(second.ports.values())
