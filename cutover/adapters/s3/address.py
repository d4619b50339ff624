"""Where a bucket is, and how long we wait for it."""

from dataclasses import dataclass, field

from cutover.model.outputs import ANY_KEYS, ObjectStore, S3Credentials
from cutover.model.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Address:
    """One bucket of one server, with the key pair that may use it."""

    endpoint: str  #: URL of the server
    region: str
    bucket: str
    access_key: str = field(repr=False)
    secret_key: Secret = field(repr=False)
    keys: str = ANY_KEYS  #: what the store does with keys, one of `KEYS` of the outputs

    @classmethod
    def of(cls, store: ObjectStore, credentials: S3Credentials) -> "S3Address":
        """The address that a stack's outputs and credentials give."""
        return cls(
            endpoint=store.endpoint,
            region=store.region,
            bucket=store.bucket,
            access_key=credentials.access_key,
            secret_key=credentials.secret_key,
            keys=store.keys,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long and how often one call tries."""

    connect_seconds: float = 1.0
    answer_seconds: float = 10.0  #: longest silence after a request was sent
    attempts: int = 4
    total_seconds: float = 20.0  #: no new attempt is started after this
    connections: int = 32


WITNESS_LIMITS = Limits(
    connect_seconds=0.5, answer_seconds=1.5, attempts=3, total_seconds=3.0, connections=16
)
"""The register's answer stands in the write pause and in the lease: it is no use when it comes late."""
