"""What a stack of containers is, kept in `stack.json` so that a later process can attach to it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from infra.blueprint.containers import Blueprint
from infra.blueprint.settings import StackSettings
from infra.components.exports import document_of, settings_of
from infra.contract import Run
from infra.embedded.state import StackFolder, write_json

CONTAINERS = "containers"

EVER_MADE = "containers-were-made"
"""File of the state folder: without it no engine needs to be asked for leftovers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerDescription:
    """Everything about a stack that does not change while it runs, and the number of the run."""

    settings: StackSettings
    keep: bool  #: stays when the harness goes
    made_by: str  #: `pulumi` or `applier`: who can take it down
    run: int = 1
    extras: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Settings added to the stack's own, by kind of process or by its full name."""
    entries: Mapping[str, str] = field(default_factory=dict)
    """Programs that replace a kind's own in this run, by kind or by full name of the process."""

    @property
    def blueprint(self) -> Blueprint:
        return Blueprint(self.settings)

    @property
    def present_run(self) -> Run:
        return Run(self.settings.name, self.run)

    def save(self, folder: StackFolder) -> None:
        """Write `stack.json`."""
        write_json(
            folder.description, {"kind": CONTAINERS, **asdict(self), "settings": document_of(self.settings)}
        )

    @classmethod
    def load(cls, folder: StackFolder) -> "ContainerDescription":
        """Read `stack.json`; FileNotFoundError when there is none."""
        return cls.read(folder.description.read_text())

    @classmethod
    def read(cls, text: str) -> "ContainerDescription":
        """Read what `save` wrote."""
        document: dict[str, Any] = json.loads(text)
        document.pop("kind")
        return cls(settings=settings_of(document.pop("settings")), **document)
