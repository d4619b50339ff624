"""What a stack publishes, by name; readable without Pulumi, so that a command can take it from there."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cutover.model.outputs import S3Credentials
from cutover.model.secret import Secret
from infra.blueprint.containers import Blueprint
from infra.blueprint.keys import Keys
from infra.blueprint.settings import StackSettings

OUTPUTS = "outputs"
"""The outputs contract as the operator sees it; whoever reads it names credentials files of its own."""

SETTINGS = "settings"
"""The stack's settings: with them a tool knows each container, address and volume."""

KEY = "key"
"""The secret from which all others of the stack are derived."""


class NotPublished(ValueError):
    """What was read is not what our program publishes; the message names the output."""


@dataclass(frozen=True, slots=True)
class Published:
    """A stack as its program published it: enough to rebuild its blueprint and its secrets."""

    settings: StackSettings
    key: Secret

    @classmethod
    def read(cls, outputs: Mapping[str, Any]) -> "Published":
        """Read what `pulumi stack output --json --show-secrets` prints; NotPublished where it is not ours."""
        for name in (SETTINGS, KEY):
            if name not in outputs:
                raise NotPublished(
                    f"the stack has no output {name!r}, only {sorted(outputs)}: was `pulumi up` finished?"
                )
        if not isinstance(outputs[KEY], str) or outputs[KEY] == "[secret]":
            raise NotPublished(f"the output {KEY!r} is hidden: read the outputs with --show-secrets")
        return cls(settings_of(outputs[SETTINGS]), Secret(outputs[KEY]))

    @property
    def blueprint(self) -> Blueprint:
        return Blueprint(self.settings)

    @property
    def keys(self) -> Keys:
        return keys_of(self.settings, self.key)


def keys_of(settings: StackSettings, key: Secret) -> Keys:
    """Return all secrets of a stack; a store that is not ours knows one pair of keys only.

    Where the server stands outside, that pair is none that can be derived: it stands behind
    the key, as `with_account` has put it there.
    """
    if settings.s3_url is None:
        return Keys(key, shared=settings.s3_image is not None)
    own, _, account = key.reveal().partition("\n")
    access, _, secret = account.partition("\n")
    return Keys(Secret(own), given=S3Credentials(access_key=access, secret_key=Secret(secret)))


def with_account(key: Secret, account: S3Credentials) -> Secret:
    """Return a stack's key with the account at the server outside behind it: one secret is handed on."""
    return Secret("\n".join((key.reveal(), account.access_key, account.secret_key.reveal())))


def document_of(settings: StackSettings) -> dict[str, Any]:
    """Return the settings as plain values."""
    document = asdict(settings)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in document.items()}


def settings_of(document: Mapping[str, Any]) -> StackSettings:
    """Return the settings that `document_of` wrote; NotPublished for a key that it does not know."""
    if not isinstance(document, Mapping):
        raise NotPublished(f"the output {SETTINGS!r} is no object but {document!r}")
    given: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in document.items()
    }
    try:
        return StackSettings(**{**given, "s3_port": int(given["s3_port"])})
    except (TypeError, KeyError) as error:
        raise NotPublished(
            f"the output {SETTINGS!r} is not of this version of the program: {error}"
        ) from None
