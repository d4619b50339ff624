"""What a stack tells about itself: where each site is, and where its secrets lie.

`outputs.json` is a contract: the embedded stack and the Pulumi program write
it, every command and service reads it. Reading is strict, since a key that is
silently dropped here is a site that cannot be reached later. A stack has one
such description for each *viewer*, because every place reaches the others
through links of its own; the published one is the operator's.

Secrets are not in it: `credentials_file` names a JSON file of mode 0600.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from cutover.model.secret import Secret

SCHEMA = 1
"""Raised when a reader of the older form would misread the newer one."""

ROLES = ("source", "target")

ANY_KEYS, PATHS = "any", "paths"
KEYS = (ANY_KEYS, PATHS)
"""What a store does with keys: it keeps the exact bytes of any, or keeps them as paths of a file system do.

In the file it may be left out, which means any. A store that keeps paths takes
`d//x` for `d/x`, so that only keys that are plain paths can be moved from or to it.
"""

_Value = TypeVar("_Value")


class InvalidOutputs(ValueError):
    """An outputs or credentials file does not follow the contract; the message names the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectStore:
    """One bucket of an S3-compatible server."""

    endpoint: str  #: URL of the server
    bucket: str
    region: str
    keys: str = ANY_KEYS  #: one of KEYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """One PostgreSQL database, reached over TCP."""

    host: str
    port: int
    database: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteOutputs:
    """How one viewer reaches one site."""

    role: str  #: at the start of the migration: source or target
    region: str
    s3: ObjectStore
    postgres: Database
    platform: str  #: URL
    agent: str  #: URL
    credentials_file: str

    @property
    def is_source(self) -> bool:
        """Say whether the migration leaves this site."""
        return self.role == "source"


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessOutputs:
    """How one viewer reaches register and journal."""

    s3: ObjectStore
    prefix: str  #: all keys of this run start with it; ends with a slash
    credentials_file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """A whole stack, as one viewer reaches it."""

    name: str
    kind: str  #: "embedded" or "pulumi"
    sites: Mapping[str, SiteOutputs]
    witness: WitnessOutputs

    @property
    def source(self) -> str:
        """Return the name of the site that the migration leaves."""
        return self._named("source")

    @property
    def target(self) -> str:
        """Return the name of the site that the migration arrives at."""
        return self._named("target")

    def _named(self, role: str) -> str:
        return next(name for name, site in self.sites.items() if site.role == role)

    def to_json(self) -> str:
        """Return the contract's JSON text, the same bytes for equal outputs."""
        document = {
            "schema": SCHEMA,
            "name": self.name,
            "kind": self.kind,
            "sites": {name: _site_document(site) for name, site in self.sites.items()},
            "witness": _witness_document(self.witness),
        }
        return json.dumps(document, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Outputs":
        """Read the contract's JSON text; raise InvalidOutputs where it departs from it."""
        top = _Reader.parse(text, "outputs")
        top.must_be("schema", SCHEMA)
        sites = top.child("sites")
        read = cls(
            name=top.text("name"),
            kind=top.text("kind"),
            sites={name: _read_site(sites.child(name)) for name in sites.names()},
            witness=_read_witness(top.child("witness")),
        )
        top.nothing_else()
        roles = sorted(site.role for site in read.sites.values())
        if roles != sorted(ROLES):
            raise InvalidOutputs(f"outputs.sites: one source and one target are needed, found {roles}")
        return read


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Credentials:
    """A key pair for one S3 server."""

    access_key: str
    secret_key: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The content of one credentials file: what one viewer may use at one place."""

    s3: S3Credentials
    postgres: Mapping[str, Secret]  #: password by role name

    def to_json(self) -> str:
        """Return the text of the file *with the secrets in it*: write it with mode 0600."""
        s3 = {"access_key": self.s3.access_key, "secret_key": self.s3.secret_key.reveal()}
        roles = {role: password.reveal() for role, password in self.postgres.items()}
        return json.dumps({"s3": s3, "postgres": roles}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Credentials":
        """Read the text of a credentials file; InvalidOutputs never quotes a value of it."""
        top = _Reader.parse(text, "credentials")
        s3, roles = top.child("s3"), top.child("postgres")
        read = cls(
            s3=S3Credentials(access_key=s3.text("access_key"), secret_key=Secret(s3.text("secret_key"))),
            postgres={role: Secret(roles.text(role)) for role in roles.names()},
        )
        for reader in (top, s3, roles):
            reader.nothing_else()
        return read


def _site_document(site: SiteOutputs) -> dict[str, object]:
    return {
        "role": site.role,
        "region": site.region,
        "s3": _store_document(site.s3),
        "postgres": {
            "host": site.postgres.host,
            "port": site.postgres.port,
            "database": site.postgres.database,
        },
        "platform": {"url": site.platform},
        "agent": {"url": site.agent},
        "credentials_file": site.credentials_file,
    }


def _store_document(store: ObjectStore) -> dict[str, object]:
    document: dict[str, object] = {
        "endpoint": store.endpoint,
        "bucket": store.bucket,
        "region": store.region,
    }
    return document if store.keys == ANY_KEYS else document | {"keys": store.keys}


def _witness_document(witness: WitnessOutputs) -> dict[str, object]:
    s3 = _store_document(witness.s3) | {"prefix": witness.prefix}
    return {"s3": s3, "credentials_file": witness.credentials_file}


def _read_site(site: "_Reader") -> SiteOutputs:
    postgres = site.child("postgres")
    read = SiteOutputs(
        role=site.one_of("role", ROLES),
        region=site.text("region"),
        s3=_read_store(site.child("s3")),
        postgres=Database(
            host=postgres.text("host"), port=postgres.number("port"), database=postgres.text("database")
        ),
        platform=_read_url(site.child("platform")),
        agent=_read_url(site.child("agent")),
        credentials_file=site.text("credentials_file"),
    )
    postgres.nothing_else()
    site.nothing_else()
    return read


def _read_url(service: "_Reader") -> str:
    url = service.text("url")
    service.nothing_else()
    return url


def _read_store(s3: "_Reader") -> ObjectStore:
    store = ObjectStore(
        endpoint=s3.text("endpoint"),
        bucket=s3.text("bucket"),
        region=s3.text("region"),
        keys=s3.one_of("keys", KEYS) if "keys" in s3.names() else ANY_KEYS,
    )
    s3.nothing_else()
    return store


def _read_witness(witness: "_Reader") -> WitnessOutputs:
    s3 = witness.child("s3")
    prefix = s3.text("prefix")
    read = WitnessOutputs(
        s3=_read_store(s3), prefix=prefix, credentials_file=witness.text("credentials_file")
    )
    witness.nothing_else()
    return read


class _Reader:
    """One JSON object being read: every key must be asked for, and only once is enough."""

    def __init__(self, document: object, place: str) -> None:
        if not isinstance(document, dict):
            raise InvalidOutputs(f"{place}: an object is needed, found {_kind(document)}")
        self._document: dict[str, object] = document
        self._place = place
        self._asked: set[str] = set()

    @classmethod
    def parse(cls, text: str, place: str) -> "_Reader":
        try:
            return cls(json.loads(text), place)
        except json.JSONDecodeError as error:
            raise InvalidOutputs(
                f"{place}: not JSON (line {error.lineno}: {error.msg}); was the file written completely?"
            ) from None

    def names(self) -> list[str]:
        return list(self._document)

    def child(self, key: str) -> "_Reader":
        return _Reader(self._get(key), f"{self._place}.{key}")

    def text(self, key: str) -> str:
        return self._typed(key, str, "a string")

    def number(self, key: str) -> int:
        return self._typed(key, int, "a whole number")

    def one_of(self, key: str, allowed: tuple[str, ...]) -> str:
        value = self.text(key)
        if value not in allowed:
            raise InvalidOutputs(
                f"{self._place}.{key}: one of {', '.join(allowed)} is needed, found {value!r}"
            )
        return value

    def must_be(self, key: str, expected: int) -> None:
        found = self.number(key)
        if found != expected:
            raise InvalidOutputs(
                f"{self._place}.{key}: this program reads schema {expected}, the file has {found}; "
                f"use the version of cutover that wrote it"
            )

    def nothing_else(self) -> None:
        unknown = sorted(set(self._document) - self._asked)
        if unknown:
            raise InvalidOutputs(f"{self._place}: unknown key {unknown[0]!r}")

    def _typed(self, key: str, kind: type[_Value], wanted: str) -> _Value:
        value = self._get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InvalidOutputs(f"{self._place}.{key}: {wanted} is needed, found {_kind(value)}")
        return value

    def _get(self, key: str) -> object:
        self._asked.add(key)
        if key not in self._document:
            raise InvalidOutputs(f"{self._place}: key {key!r} is missing")
        return self._document[key]


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
