"""What must hold inside a host: who runs there, what listens, where the data lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from testinfra.host import Host  # type: ignore[import-untyped]

from infra.blueprint.addresses import INSIDE
from infra.blueprint.files import ENTRIES
from infra.images.places import TASK, UID
from infra.topology import Service
from resilience_tests.live.hosts.of_stack import HostOfStack

CAPABILITY_BITS = 0xCB
"""CHOWN, DAC_OVERRIDE, FOWNER, SETGID and SETUID, as the kernel numbers them."""

_STATUS = "^(PPid|Uid|Gid|Groups|CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs):"
_LISTENS = "0A"
_GONE = 2  #: of grep, when a process ended while it was read


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process in a container, as the kernel describes it."""

    pid: int  #: inside
    parent: int  #: 0: the first process, or one that the engine put in
    users: frozenset[int]  #: real, effective, saved and of the file system
    groups: frozenset[int]  #: these of the groups, and all others that it is in
    bound: int  #: capabilities that it or its children could ever have
    held: int  #: capabilities that it has in any set
    no_new_privileges: bool


@dataclass(frozen=True, slots=True)
class Listening:
    """One socket that listens."""

    address: IPv4Address | IPv6Address
    port: int
    user: int


def processes_of(text: str) -> list[Process]:
    """Read what grep found in `/proc/PID/status` of all processes; one that went meanwhile is left out."""
    told: dict[int, dict[str, list[str]]] = {}
    for line in text.splitlines():
        path, name, values = line.split(":", 2)
        told.setdefault(int(path.split("/")[2]), {})[name] = values.split()
    return [_process(pid, fields) for pid, fields in told.items() if len(fields) == 10]


def _process(pid: int, fields: Mapping[str, Sequence[str]]) -> Process:
    held = 0
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        held |= int(fields[name][0], 16)
    return Process(
        pid=pid,
        parent=int(fields["PPid"][0]),
        users=frozenset(map(int, fields["Uid"])),
        groups=frozenset(map(int, (*fields["Gid"], *fields["Groups"]))),
        bound=int(fields["CapBnd"][0], 16),
        held=held,
        no_new_privileges=fields["NoNewPrivs"] == ["1"],
    )


def listening_in(text: str) -> list[Listening]:
    """Read `/proc/net/tcp` and `/proc/net/tcp6`; what is only connected is left out."""
    rows = [line.split() for line in text.splitlines()]
    return [
        Listening(_address(row[1].partition(":")[0]), int(row[1].partition(":")[2], 16), int(row[7]))
        for row in rows
        if row[0].endswith(":") and row[3] == _LISTENS
    ]


def _address(digits: str) -> IPv4Address | IPv6Address:
    """Read an address that the kernel wrote as words of four bytes in this machine's order."""
    words = [bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8)]
    return ip_address(b"".join(words))


def below(first: int, seen: Sequence[Process]) -> list[Process]:
    """Return the processes that descend from one: orphans become children of the first."""
    parents = {one.pid: one.parent for one in seen}

    def descends(pid: int) -> bool:
        parent = parents.get(pid, 0)
        return parent == first or (parent != 0 and descends(parent))

    return [one for one in seen if descends(one.pid)]


def assert_serves_as_user(host: HostOfStack) -> None:
    """Fail if anything of ours runs as root, or could ever be more than it is.

    What the engine puts in, health checks and looks, does not descend from the
    first process; such a one has all capabilities until the engine has taken them.
    """
    seen = _processes(host.look())
    ours = below(1, seen) if _under_init(host) else [*below(1, seen), *(one for one in seen if one.pid == 1)]
    assert ours, f"{host.name} runs nothing of ours"
    for one in ours:
        where = f"process {one.pid} in {host.name}"
        assert one.users == {UID}, f"{where} runs as {sorted(one.users)}"
        assert one.groups == {UID}, f"{where} is in the groups {sorted(one.groups)}"
        assert one.held == 0, f"{where} has capabilities {one.held:#x}"
        assert one.bound & ~CAPABILITY_BITS == 0, f"{where} may have {one.bound:#x}"
        assert one.no_new_privileges, f"{where} may gain privileges"


def _under_init(host: HostOfStack) -> bool:
    """Say whether the first process is the engine's own, which stays root and passes signals on."""
    return bool(host.container.attrs["HostConfig"].get("Init"))


def _processes(at: Host) -> list[Process]:
    found = at.run("grep -sE %s /proc/[0-9]*/status", _STATUS)
    assert found.rc in (0, _GONE), found.stderr
    return processes_of(found.stdout)


def assert_runs_its_program(host: HostOfStack) -> None:
    """Fail unless the first process, or the only child of the engine's init, is the program of this kind."""
    at = host.look()
    found = at.process.filter(**({"ppid": 1} if _under_init(host) else {"pid": 1}))
    assert len(found) == 1, f"{host.name} runs {found}"
    if host.planned.kind == "postgres":
        assert found[0].args.split()[0].endswith("/bin/postgres"), found[0].args
        return
    assert found[0].args == "python3 -m infra.images.run", found[0].args
    task = at.file(str(TASK)).content_string
    assert f'"entry": "{ENTRIES[host.planned.kind]}"' in task, f"{host.name} was told to run {task}"


def assert_listens(host: HostOfStack) -> None:
    """Fail unless its service listens on its port, and nothing else does that others could reach."""
    text = host.look().check_output("cat /proc/net/tcp /proc/net/tcp6")
    found = {(one.port, one.user) for one in listening_in(text) if not one.address.is_loopback}
    kinds = {service.value for service in Service}
    ports = [host.blueprint.addresses.port(Service(kind)) for kind in {host.planned.kind} & kinds]
    assert found == {(port, UID) for port in ports}, f"{host.name} listens at {found}; planned: {ports}"


def assert_data_on_a_disk(host: HostOfStack) -> None:
    """Fail unless its data lie on a mount of their own, on a disk, open to its service only."""
    at = host.look()
    credentials = at.mount_point(INSIDE)
    assert credentials.exists, f"{host.name}: {INSIDE} is no mount"
    assert credentials.filesystem == "tmpfs", f"{host.name} keeps credentials on {credentials}"
    for planned in host.planned.mounts:
        mount = at.mount_point(planned.path)
        assert mount.exists, f"{host.name}: {planned.path} is no mount, and gone with the container"
        assert mount.filesystem not in ("tmpfs", "ramfs", "overlay"), f"{host.name}: {mount}"
        assert "rw" in mount.options, f"{host.name}: {mount}"
        if planned.folder:
            assert mount.device.startswith("/dev/loop"), f"{host.name}: the power of {mount} cannot be cut"
        folder = at.file(planned.path)
        assert (folder.uid, folder.mode) == (UID, 0o700), f"{host.name}: {folder.uid}, {folder.mode:o}"


def assert_files_closed(host: HostOfStack) -> None:
    """Fail if anybody but root and the service could read what was put into it: it has credentials."""
    found = host.look().check_output("find /etc/cutover %s -name '*.json' -printf '%%m %%U %%p\\n'", INSIDE)
    lines = [line.split(maxsplit=2) for line in found.splitlines()]
    assert lines, f"{host.name} was given no files"
    for mode, user, path in lines:
        owner = 0 if path.startswith("/etc/") else UID
        assert (mode, int(user)) == ("600", owner), f"{host.name}: {path} has mode {mode}, owner {user}"


def reach(host: HostOfStack, address: str, port: int, *, seconds: float) -> str:
    """Return how a connection from inside a host fares: `ok`, or the name of the error."""
    told = (
        f"import socket\ntry: socket.create_connection(({address!r}, {port}), {seconds}).close()\n"
        "except OSError as error: print(type(error).__name__)\nelse: print('ok')"
    )
    return str(host.look().check_output("python3 -c %s", told))
