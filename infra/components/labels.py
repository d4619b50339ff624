"""What is written on everything that a stack makes."""

from collections.abc import Mapping
from dataclasses import dataclass

from infra.containers.claims import Claim

PLACE = "cutover.place"
KIND = "cutover.kind"


@dataclass(frozen=True, slots=True)
class Labels:
    """Whose a thing is, where it belongs, and until when it may stay."""

    claim: Claim
    added: Mapping[str, str]  #: say it in place of the claim, where whoever deploys is no Pulumi

    def of(self, place: str, kind: str) -> Mapping[str, str]:
        """Return the labels of one thing: a container's kind, else `network` or `volume`."""
        return dict(sorted({**self.claim.labels(), **self.added, PLACE: place, KIND: kind}.items()))
