"""Every secret of a stack, derived from one: so a second preview changes nothing, and one key is kept."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from cutover.model.outputs import Credentials, S3Credentials
from cutover.model.secret import Secret
from infra.contract import roles_of
from infra.topology import WITNESS, two_sites

BYTES_MIN = 24
"""Shortest key of a stack that is taken (bytes): shorter ones can be guessed."""

DATABASE_ROLES = ("platform", "cutover_admin", "cutover_applier", "checker")


class WeakKey(ValueError):
    """The stack's key is too short to derive passwords from."""

    def __init__(self, length: int) -> None:
        super().__init__(
            f"the stack's key has {length} bytes, and needs {BYTES_MIN} at least. "
            f"Make one with `openssl rand -base64 32`."
        )


@dataclass(frozen=True, slots=True)
class Keys:
    """What each viewer may use, by HMAC-SHA256 of its name under the stack's key."""

    key: Secret
    shared: bool = False  #: the object stores know one key pair each, which all viewers use
    given: S3Credentials | None = None  #: the account at a server outside, which all viewers use

    def __post_init__(self) -> None:
        if (length := len(self.key.reveal().strip())) < BYTES_MIN:
            raise WeakKey(length)

    def _derived(self, *name: str) -> Secret:
        digest = hmac.digest(self.key.reveal().strip().encode(), "/".join(name).encode(), hashlib.sha256)
        return Secret(base64.urlsafe_b64encode(digest[:24]).decode())

    def passwords(self, site: str) -> Mapping[str, Secret]:
        """Return the password of every database role of a site."""
        return {role: self._derived("postgres", site, role) for role in DATABASE_ROLES}

    def pair(self, viewer: str, place: str) -> S3Credentials:
        """Return the key pair of a viewer at a place's object store."""
        if self.given is not None:
            return self.given
        who = "shared" if self.shared else viewer
        return S3Credentials(access_key=f"{who}-key", secret_key=self._derived("s3", place, who))

    def of_store(self, place: str) -> Mapping[str, str]:
        """Return all key pairs that a place's object store knows, *as they are*."""
        pairs = [self.pair(viewer, place) for viewer in two_sites().viewers]
        return {pair.access_key: pair.secret_key.reveal() for pair in pairs}

    def credentials(self, viewer: str, place: str) -> Credentials:
        """Return what `viewer` may use at `place`."""
        passwords = self.passwords(place) if place != WITNESS else {}
        known = {role: passwords[role] for role in roles_of(viewer, place)}
        return Credentials(s3=self.pair(viewer, place), postgres=known)

    def of_platform(self, site: str) -> Credentials:
        """Return what a site's platform may use: its own role, and nothing of the engine's."""
        return Credentials(s3=self.pair(site, site), postgres={"platform": self.passwords(site)["platform"]})
