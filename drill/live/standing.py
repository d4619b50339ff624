"""A stack that stands already, as its outputs.json names it: which of this machine's it is, and who holds it.

Outputs say where a stack is; a drill has to end its sites. So a file is taken
only where whoever made the stack left what that needs: in the state folder of
this user, or, for a stack of Pulumi's, in the file itself.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cutover.model.outputs import InvalidOutputs, Outputs
from cutover.model.secret import Secret
from infra.blueprint.settings import StackSettings
from infra.components.exports import KEY, SETTINGS, NotPublished, Published
from infra.containers.claims import PULUMI as BY_PULUMI
from infra.containers.description import CONTAINERS, ContainerDescription
from infra.containers.pulumi_folder import key_file
from infra.embedded.claim import NAME
from infra.embedded.description import Description
from infra.embedded.state import StackFolder, StateFolder
from infra.s3_engines.resolve import OWN, VERSITYGW

EMBEDDED, DOCKER, PULUMI = "embedded", "docker", "pulumi"

HOW = (
    "Name the outputs.json of a stack that `cutover stack up` brought up on this machine (it prints the "
    "path), or a file with what `pulumi stack output --json --show-secrets` prints of a stack of Pulumi's"
)


class NotStanding(ValueError):
    """A file names no stack that drills can have; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A stack that was there before its drills, and is there after them."""

    kind: str  #: EMBEDDED, DOCKER or PULUMI
    name: str
    s3_server: str = OWN
    published: Published | None = None  #: of a stack of Pulumi's


def standing(named: str) -> Standing:
    """Return what `embedded:NAME`, `docker:NAME` or the path of a file means. Raises NotStanding."""
    kind, _, name = named.partition(":")
    if kind not in (EMBEDDED, DOCKER):
        return _described(Path(named).expanduser())
    found = _known(name)
    if found is None:
        raise NotStanding(f"no stack {name!r} is up here: `cutover stack up --stack {named}` brings it up")
    if found.kind != kind:
        raise NotStanding(f"the stack {name!r} that is up here is {found.kind}:{name}: say so with --stack")
    return found


def _described(file: Path) -> Standing:
    try:
        text = file.read_text(encoding="utf-8")
        document: Mapping[str, Any] = json.loads(text)
    except OSError as error:
        raise NotStanding(f"{str(file)!r} cannot be read: {error.strerror}. {HOW}.") from None
    except ValueError as error:
        raise NotStanding(f"{str(file)!r} is no JSON: {error}. {HOW}.") from None
    try:
        if isinstance(document, dict) and {SETTINGS, KEY} & document.keys():
            published = Published.read(document)
            _ = published.keys
            return Standing(PULUMI, published.settings.name, published=published)
        outputs = Outputs.from_json(text)
    except (InvalidOutputs, NotPublished, ValueError) as error:
        raise NotStanding(f"{str(file)!r} describes no stack: {error}. {HOW}.") from None
    return _held(outputs, str(file))


def _held(outputs: Outputs, file: str) -> Standing:
    """Return the stack that these are the outputs of, if it is this user's to end."""
    found = _known(outputs.name)
    if found is None:
        raise NotStanding(
            f"{file!r} describes the stack {outputs.name!r}, which this user did not bring up here: "
            f"a drill ends sites, and where they are is not enough for that "
            f"(docs/explanation/decisions/0014). {HOW}."
        )
    _must_be(outputs, StateFolder.open().stack(found.name), file)
    return found


def _known(name: str) -> Standing | None:
    """Return the stack of this name in this user's state folder."""
    if not NAME.fullmatch(name):  # from a file, and about to be part of a path
        return None
    folder = StateFolder.open().stack(name)
    if not folder.description.exists():
        return None
    if folder.kind != CONTAINERS:
        return Standing(EMBEDDED, name, Description.load(folder).s3_server)
    told = ContainerDescription.load(folder)
    if told.made_by == BY_PULUMI:
        published = Published(told.settings, Secret(key_file(folder).read_text()))
        return Standing(PULUMI, name, published=published)
    return Standing(DOCKER, name, _store_of(told.settings))


def _store_of(settings: StackSettings) -> str:
    """Return the store of each place as `--s3-server` names it, `own` for an image of the user's."""
    if settings.s3_url:
        return settings.s3_url
    theirs = (settings.s3_image or "").startswith(f"cutover-{VERSITYGW}:")
    return VERSITYGW if theirs else OWN


def _must_be(outputs: Outputs, folder: StackFolder, file: str) -> None:
    """Refuse the outputs of another stack of the same name: its drills would strike this one."""
    published = folder.path / "outputs.json"
    if not published.exists() or _ends(Outputs.from_json(published.read_text())) != _ends(outputs):
        raise NotStanding(
            f"{file!r} describes another stack {outputs.name!r} than the one that is up here: its sites are "
            f"elsewhere. {HOW}."
        )


def _ends(outputs: Outputs) -> Mapping[str, tuple[object, ...]]:
    """Return where everything is; the run that is served at the moment does not matter."""
    ends: dict[str, tuple[object, ...]] = {
        name: (one.role, one.s3.endpoint, one.postgres.host, one.postgres.port, one.platform, one.agent)
        for name, one in outputs.sites.items()
    }
    return {**ends, "witness": (outputs.witness.s3.endpoint,)}
