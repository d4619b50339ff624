"""Writing down, on this machine, how a stack of containers is reached and what may be used there.

No engine is asked: whoever only needs the way to the sites needs no Docker.
"""

from dataclasses import dataclass

from cutover.model.outputs import Outputs
from infra.blueprint.addresses import Addresses
from infra.blueprint.keys import Keys
from infra.containers.description import ContainerDescription
from infra.contract import outputs_of
from infra.embedded.state import StackFolder, write_file
from infra.topology import CLIENTS, OPERATOR


@dataclass(frozen=True, slots=True)
class FromHere(Addresses):
    """The same addresses for the operator and the clients, whose files lie on this machine."""

    folder: StackFolder

    def credentials(self, viewer: str, place: str) -> str:
        """Return where this machine keeps what `viewer` may use at `place`."""
        return str(self.folder.credentials / f"{viewer}-{place}.json")


def outputs_here(folder: StackFolder, description: ContainerDescription, viewer: str) -> Outputs:
    """Return the stack's present run as the operator or a client reaches it."""
    reach = FromHere(description.settings, folder)
    return outputs_of(reach, description.present_run, viewer, description.made_by)


def publish(folder: StackFolder, description: ContainerDescription, keys: Keys) -> None:
    """Write the outputs of each viewer, and the files with what it may use, which only we may read."""
    for viewer in (OPERATOR, CLIENTS):
        for place in description.blueprint.addresses.topology.places:
            text = keys.credentials(viewer, place).to_json()
            write_file(folder.credentials / f"{viewer}-{place}.json", text)
        write_file(folder.outputs(viewer), outputs_here(folder, description, viewer).to_json())
    write_file(folder.path / "outputs.json", outputs_here(folder, description, OPERATOR).to_json())
