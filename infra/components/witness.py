"""The witness: register and journal, away from both sites."""

import pulumi

from infra.components.place import PlaceArgs, Standing


class Witness(Standing):
    """A small object store that neither site takes with it when it dies."""

    def __init__(self, name: str, args: PlaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("cutover:infra:Witness", name, args, {}, opts)
