"""The shape of a plan file: its keys, their types and what each one means.

The descriptions are read by people twice: in the messages about a wrong value,
and in docs/reference/plan-file.md, which is made from them.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from cutover.model.plan import Gates, Lease

IDENTIFIER_BYTES_MAX = 63
"""Longest name (bytes) that PostgreSQL keeps; longer ones it cuts off without an error."""

NAME = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"

Name = Annotated[str, StringConstraints(pattern=NAME)]
Column = Annotated[str, StringConstraints(min_length=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class LeaseKeys(_Keys):
    """How long a site may serve without hearing from the witness."""

    seconds: Positive = Field(default=Lease().seconds, description="length of a lease (seconds)")
    margin: NotNegative = Field(
        default=Lease().margin, description="jump of a database server's clock that is borne (seconds)"
    )
    lending: bool = Field(
        default=Lease().lending,
        description="whether the peer lends leases while only the witness is gone, so that writes go on",
    )


class GatesKeys(_Keys):
    """What must hold before writes are stopped, and for how long they may be."""

    lag_seconds: Positive = Field(
        default=Gates().lag_seconds, description="longest lag at which a drain may start (seconds)"
    )
    drain_seconds: Positive = Field(
        default=Gates().drain_seconds,
        description="after this long a drain gives the leaving site its writes back (seconds)",
    )
    drain_attempts: Count = Field(
        default=Gates().drain_attempts, description="drains given up in a row before the operator is asked"
    )
    approve_cutover: bool = Field(
        default=Gates().approve_cutover, description="whether a drain waits for `cutover approve`"
    )
    approve_merge: bool = Field(
        default=Gates().approve_merge,
        description="whether the stranded writes of a returned site wait for `cutover stranded merge`",
    )
    delete_rows: Count = Field(
        default=Gates().delete_rows,
        description="most rows that one transaction may delete before the brake stops it",
    )


class ObjectKeys(_Keys):
    """An object that each row of a table owns."""

    key: Column = Field(description="column of the object's key; null or empty: there is none")
    digest: Column | None = Field(
        default=None,
        description="column of the object's sha256, in hex or as a bytea; left out: computed and recorded",
    )
    bucket: Column | None = Field(
        default=None,
        description="bucket that holds the object; left out: the one that the outputs name for the site",
    )


class OrderKeys(_Keys):
    """How the rows of a queue move forward."""

    column: Column = Field(description="the column that says how far a row has come")
    values: Annotated[list[Column], Field(min_length=2)] = Field(
        description="its values as text, from first to last"
    )


class TableKeys(_Keys):
    """One table that moves."""

    name: Column = Field(description="the table, with its schema unless that is `public`")
    key: Annotated[list[Column], Field(min_length=1)] = Field(
        description="columns of a unique key without nulls"
    )
    merge: Literal["record", "append", "counter", "queue"] = Field(
        description="how a row that changed at both sites becomes one again"
    )
    counters: list[Column] = Field(default=[], description="columns whose changes at both sites are added up")
    order: OrderKeys | None = Field(
        default=None,
        description="of a queue: how its rows move forward; left out: nobody can say",
    )
    objects: list[ObjectKeys] = Field(default=[], description="the objects that a row owns")


class PlanKeys(_Keys):
    """One migration."""

    schema_: Literal[1] = Field(alias="schema", description="version of this form; 1")
    name: Name = Field(
        description="name of the migration: up to 40 small letters, digits and hyphens, none at either end"
    )
    stack: Column | None = Field(
        default=None,
        description="outputs.json of the stack, seen from this file; `--stack` and CUTOVER_STACK win over it",
    )
    source: Name = Field(description="site that is left")
    target: Name = Field(description="site that is arrived at")
    lease: LeaseKeys = Field(default=LeaseKeys(), description="how long a site serves unheard")
    gates: GatesKeys = Field(default=GatesKeys(), description="what must hold before writes are stopped")
    deletes: Literal["require_request", "record_transaction"] = Field(
        default="record_transaction", description="what a delete must carry so that the brake lets it pass"
    )
    tables: Annotated[list[TableKeys], Field(min_length=1)] = Field(description="the tables that move")


MEANINGS: dict[str, str] = {
    "record": "the side that changed wins; if both did, one is picked and the other goes to quarantine",
    "append": "rows are only ever added; both sides' rows are kept",
    "counter": "the differences that both sides made are added",
    "queue": "a row only moves forward",
    "require_request": "the request id of a user, in the transaction setting `cutover.request_id`",
    "record_transaction": "nothing: without a request id, transaction and role are recorded",
}
"""What each word of a choice means, for the reference."""
