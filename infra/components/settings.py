"""Reads the stack's configuration, once and typed; nothing else of the program asks for a key of it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import pulumi
import pulumi_docker as docker
from pulumi.runtime.config import CONFIG, get_config, get_config_env

from cutover.model.secret import Secret
from infra.blueprint.keys import WeakKey
from infra.blueprint.settings import DURABLE, BadSettings, StackSettings
from infra.components.exports import keys_of
from infra.containers.claims import NEVER, OWNER
from infra.topology import two_sites

NAMESPACE = "cutover"

KEYS: Mapping[str, str] = {
    field.name: re.sub(r"_(\w)", lambda found: found.group(1).upper(), field.name)
    for field in fields(StackSettings)
}
"""Key of the configuration by field of the settings: `s3_image` is `cutover:s3Image`."""

KEY, EXPIRES = "key", "expires"

_PLAIN = ("subnet", "s3_image", "s3_data", "s3_keys", "s3_url", "s3_region", "s3_mark", "health_interval")
"""Fields of the settings that are one text each, and need not be there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """All that a stack is told."""

    settings: StackSettings
    key: pulumi.Output[str]  #: secret; all other secrets are derived from it
    expires: float  #: unix seconds after which a reaper may remove the stack

    def engine_of(self, place: str) -> docker.ProviderArgs:
        """Return where the engine of a place is: at its host, else where Pulumi's own settings say.

        Without a word of these the SDK takes DOCKER_HOST, and the provider else the usual socket.
        """
        host = self.settings.hosts.get(place)
        return _usual_engine() if host is None else docker.ProviderArgs(host=host)


def read_configuration() -> Configuration:
    """Read the configuration of the stack that is being deployed.

    Raises BadSettings and ConfigMissingError; the message names the key.
    """
    config = pulumi.Config(NAMESPACE)
    if unknown := sorted(set(_given()) - {*KEYS.values(), KEY, EXPIRES}):
        known = ", ".join(sorted({*KEYS.values(), KEY, EXPIRES}))
        raise BadSettings(f"{NAMESPACE}:{unknown[0]} is no key of this program; it knows {known}")
    try:
        settings = StackSettings(**dict(_fields(config)))
        _must_share_an_engine(settings)
        _must_be_taken_down_by_us(settings)
        key = _key(config, settings)
    except BadSettings as error:
        raise BadSettings(_with_key(str(error))) from None
    return Configuration(settings=settings, key=key, expires=_expires(config))


def _given() -> Iterator[str]:
    for key in (*CONFIG.get(), *get_config_env()):
        namespace, _, name = key.partition(":")
        if namespace == NAMESPACE:
            yield name


def _fields(config: pulumi.Config) -> Iterator[tuple[str, Any]]:
    yield "name", config.get("name") or pulumi.get_stack()
    yield "image", _image(config)
    for field in _PLAIN:
        if (text := config.get(KEYS[field])) is not None:
            yield field, text
    for field in ("hosts", "links", "disks", "labels"):
        yield field, _texts_by_name(config, KEYS[field])
    yield "postgres", {**DURABLE, **_texts_by_name(config, "postgres")}
    for field in ("s3_command", "s3_health"):
        yield field, _texts(config, KEYS[field])
    if variables := _texts(config, KEYS["s3_variables"]):
        if len(variables) != 2:
            raise BadSettings(f"s3_variables: two names are needed, found {len(variables)}")
        yield "s3_variables", variables
    if (port := config.get_int(KEYS["s3_port"])) is not None:
        yield "s3_port", port


def _image(config: pulumi.Config) -> str:
    if (image := config.get("image")) is None:
        raise BadSettings(
            "image: none is set. `python -m infra.images` builds one and prints its name; put it into the "
            f"stack with `pulumi config set {NAMESPACE}:image NAME`"
        )
    return image


def _key(config: pulumi.Config, settings: StackSettings) -> pulumi.Output[str]:
    """Return the key as a secret; that it is one, and strong, is seen before anything is made."""
    text = get_config(f"{NAMESPACE}:{KEY}")
    if text is None:
        raise BadSettings(
            f"{KEY}: none is set. Make one with `pulumi config set --secret {NAMESPACE}:{KEY} "
            f'"$(openssl rand -base64 32)"`'
        )
    try:
        keys_of(settings, Secret(text))
    except WeakKey as error:
        raise BadSettings(f"{KEY}: {error}") from None
    return config.require_secret(KEY)


def _usual_engine() -> docker.ProviderArgs:
    """Return the `docker:` keys, which a default provider would have taken by itself, and ours do not."""
    config = pulumi.Config("docker")
    return docker.ProviderArgs(
        host=config.get("host"),
        context=config.get("context"),
        cert_path=config.get("certPath"),
        ca_material=config.get_secret("caMaterial"),
        cert_material=config.get_secret("certMaterial"),
        key_material=config.get_secret("keyMaterial"),
        registry_auth=config.get_secret_object("registryAuth"),
        ssh_opts=config.get_object("sshOpts"),
        disable_docker_daemon_check=config.get_bool("disableDockerDaemonCheck"),
    )


def _texts_by_name(config: pulumi.Config, key: str) -> Mapping[str, str]:
    found = config.get_object(key) or {}
    if not isinstance(found, dict):
        raise BadSettings(f"{key}: an object with a text for each name is needed, found {found!r}")
    for name, value in found.items():
        if not isinstance(value, str):
            raise BadSettings(f"{key}.{name}: a text is needed, found {value!r}; put it in quotes")
    return found


def _texts(config: pulumi.Config, key: str) -> tuple[str, ...]:
    found = config.get_object(key) or []
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise BadSettings(f"{key}: a list of texts is needed, found {found!r}")
    return tuple(found)


def _must_share_an_engine(settings: StackSettings) -> None:
    if settings.spread or not settings.hosts:
        return
    engines = {settings.hosts.get(place) for place in two_sites().places}
    if len(engines) > 1:
        raise BadSettings(
            "hosts: no bridge joins places on several Docker hosts; give in links the private address "
            "of each place's machine, or name one host for all places"
        )


def _must_be_taken_down_by_us(settings: StackSettings) -> None:
    """Refuse what Pulumi could not undo; whoever is no Pulumi has put a claim of its own into the labels."""
    if settings.s3_url and OWNER not in settings.labels:
        raise BadSettings(
            "s3_url: `pulumi destroy` would leave the stack's buckets at that server. Bring such a stack up "
            "with `cutover stack up --stack docker --s3-server URL`"
        )


def _expires(config: pulumi.Config) -> float:
    if (text := config.get(EXPIRES)) is None:
        return NEVER
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadSettings(
            f"{NAMESPACE}:{EXPIRES}: {text!r} is no moment; write one as 2027-01-31T18:00:00Z"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _with_key(message: str) -> str:
    """Put the key of the configuration in the place of the field that a message begins with."""
    found = re.match(r"\w+", message)
    field = found.group() if found else ""
    return f"{NAMESPACE}:{KEYS.get(field, field)}{message[len(field) :]}"
