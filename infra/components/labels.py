"""What is written on everything that a stack makes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from infra.containers.claims import NEVER, Claim

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

    def of_data(self, place: str, kind: str) -> Mapping[str, str]:
        """Return the labels of what keeps data: no claim of Pulumi's ends it.

        An engine cannot change the labels of a volume: an expiry that is put off would
        have to delete what it is to keep, or would never reach it.
        """
        return replace(self, claim=replace(self.claim, expires=NEVER)).of(place, kind)
