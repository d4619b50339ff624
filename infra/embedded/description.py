"""What a stack is made of, kept in `stack.json` so that a later process can attach to it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from infra.contract import Run
from infra.embedded.binaries import Binaries
from infra.embedded.services import Addresses, Services
from infra.embedded.state import StackFolder, write_json
from infra.s3_engines.outside import Outside
from infra.s3_engines.resolve import OWN
from infra.topology import two_sites


def kind_of(process: str) -> str:
    """Return the kind in PLACE/KIND or PLACE/KIND.NAME."""
    return process.partition("/")[2].partition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Everything about a stack that does not change while it runs, and the number of the run."""

    name: str
    keep: bool  #: stays when the harness goes
    ports: Mapping[str, int]
    services: Services
    postgres_folder: str
    postgres_version: int
    schema: str | None  #: SQL file that the role platform runs in each new database
    s3_server: str = OWN  #: which object store every place runs, a name of `infra.s3_engines`, or a URL
    s3_program: str | None = None  #: its binary; None for our own, which is forked
    s3_outside: Outside | None = None  #: the server at a URL, which all places share
    run: int = 0
    extras: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Settings added to the stack's own, by kind of process or by its full name."""
    entries: Mapping[str, str] = field(default_factory=dict)
    """Entries that replace the kind's own in this run, by full name of the process."""

    def extra(self, process: str) -> Mapping[str, object]:
        """Return the added settings of one process: those of its kind, then its own."""
        return {**self.extras.get(kind_of(process), {}), **self.extras.get(process, {})}

    def entry(self, process: str) -> str:
        """Return the entry of one process; LookupError when this stack has none for its kind."""
        return self.entries.get(process) or self.services.entry(kind_of(process))

    @property
    def present_run(self) -> Run:
        return Run(self.name, self.run)

    @property
    def run_id(self) -> str:
        """Return the name of the run, part of every bucket, database and prefix of it."""
        return self.present_run.name

    @property
    def database(self) -> str:
        return self.present_run.database

    @property
    def bucket(self) -> str:
        return self.present_run.bucket

    @property
    def addresses(self) -> Addresses:
        return Addresses(topology=two_sites(), ports=self.ports)

    @property
    def binaries(self) -> Binaries:
        return Binaries(Path(self.postgres_folder), self.postgres_version)

    def save(self, folder: StackFolder) -> None:
        """Write `stack.json`."""
        write_json(folder.description, asdict(self))

    @classmethod
    def load(cls, folder: StackFolder) -> "Description":
        """Read `stack.json`; FileNotFoundError when there is none."""
        return cls.read(folder.description.read_text())

    @classmethod
    def read(cls, text: str) -> "Description":
        """Read what `save` wrote."""
        document: dict[str, Any] = json.loads(text)
        services = Services(**document.pop("services"))
        there = document.pop("s3_outside", None)
        return cls(services=services, s3_outside=Outside(**there) if there else None, **document)
