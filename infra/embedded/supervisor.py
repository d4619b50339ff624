"""One process a stack that starts, holds and ends all the others.

It imports the services' modules once and forks them (a fresh start of twelve
costs seconds of imports), so it is single-threaded and runs no event loop of
its own: one `select` over its control connections, the readiness pipes of
starting services, and SIGCHLD. It holds no listener of any service.

Control is JSON lines over a unix socket, one object a request with an `id` and
a `do`; the answer repeats the `id`. The first connection is inherited from the
harness and is the *lease*: when it closes, a stack that is not to be kept ends.
"""

import argparse
import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from infra.embedded import child
from infra.embedded.groups import Freezer, Group, make_freezer
from infra.embedded.processes import (
    MARKER,
    Identity,
    adopt_orphans,
    die_with_parent,
    identify,
    send,
    set_name,
    tree_of,
)
from infra.embedded.state import write_json

LINE_BYTES_MAX = 4 << 20
"""Longest request (bytes); a longer one is a mistake, and the connection is closed."""

STOP_SECONDS = 5.0
"""How long a service may take to end by itself before it is killed (seconds)."""

Request = Mapping[str, Any]
Answer = dict[str, object]


@dataclass(slots=True, eq=False)
class Connection:
    """One controller."""

    sock: socket.socket
    lease: bool
    unread: bytes = b""

    def answer(self, request_id: object, answer: Answer) -> None:
        line = json.dumps({"id": request_id, **answer}) + "\n"
        with contextlib.suppress(OSError):  # the controller has gone: nobody waits for it
            self.sock.sendall(line.encode())


@dataclass(slots=True, eq=False)
class Process:
    """One child that was started by name."""

    name: str
    group: str
    who: Identity
    ready: bool = False
    paused: bool = False
    exit_status: int | None = None
    stop_by: float | None = None  #: monotonic; then it is killed
    waiting: list[Callable[[Answer], None]] = field(default_factory=list)  #: for readiness
    ending: list[Callable[[Answer], None]] = field(default_factory=list)  #: for its end

    @property
    def alive(self) -> bool:
        return self.exit_status is None


class Supervisor:
    """The table of processes and the requests that change it."""

    def __init__(self, folder: Path, control: Path, lease: socket.socket, lock: int, *, keep: bool) -> None:
        self.folder = folder
        self.lock = lock
        self.keep = keep
        self.processes: dict[str, Process] = {}
        self.groups: dict[str, Group] = {}
        self.selector = selectors.DefaultSelector()
        self.stopping = False
        self.control_path = control
        self.listener = _listen(control)
        self.wake = _signal_pipe()
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self.selector.register(self.wake, selectors.EVENT_READ, self._reap)
        self._add_connection(lease, lease=True)

    def run(self) -> None:
        """Serve requests until the stack is told to end or its lease is gone."""
        while not self.stopping:
            for key, _ in self.selector.select(self._patience()):
                key.data(key.fileobj)
            self._kill_late()
        self._end_all()

    def _patience(self) -> float | None:
        ends = [process.stop_by for process in self.processes.values() if process.alive and process.stop_by]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    # -- connections

    def _accept(self, listener: socket.socket) -> None:
        self._add_connection(listener.accept()[0], lease=False)

    def _add_connection(self, sock: socket.socket, *, lease: bool) -> None:
        connection = Connection(sock, lease)
        self.selector.register(sock, selectors.EVENT_READ, lambda _: self._read(connection))

    def _read(self, connection: Connection) -> None:
        try:
            chunk = connection.sock.recv(1 << 16)
        except ConnectionError:
            chunk = b""
        *lines, connection.unread = (connection.unread + chunk).split(b"\n")
        if not chunk or len(connection.unread) > LINE_BYTES_MAX:
            self._drop(connection)
        for line in lines:
            self._handle(connection, line)

    def _drop(self, connection: Connection) -> None:
        self.selector.unregister(connection.sock)
        connection.sock.close()
        if connection.lease and not self.keep:
            self.stopping = True

    def _handle(self, connection: Connection, line: bytes) -> None:
        """Do what one line asks; whatever is wrong with it is the asker's to hear, never our end."""
        request: Request = {}

        def answer(result: Answer) -> None:
            connection.answer(request.get("id"), result)

        try:
            request = json.loads(line)
            handler = getattr(self, f"do_{request['do']}")
            handler(request, answer)
        except Exception as error:
            answer({"error": f"{request.get('do')}: {type(error).__name__}: {error}"})

    # -- requests

    def do_preload(self, request: Request, answer: Callable[[Answer], None]) -> None:
        """Import modules before the first fork; what fails is reported, not fatal."""
        failed = {}
        for module in request["modules"]:
            try:
                importlib.import_module(module)
            except Exception as error:
                failed[module] = f"{type(error).__name__}: {error}"
        gc.collect()
        gc.freeze()
        answer({"failed": failed, "threads": len(os.listdir("/proc/self/task"))})

    def do_spawn(self, request: Request, answer: Callable[[Answer], None]) -> None:
        """Start a process; answered when it says that it is ready, or has ended."""
        name, group = str(request["name"]), str(request["group"])
        if name in self.processes and self.processes[name].alive:
            answer({"error": f"{name} is already running"})
            return
        freezer = self._group(group).freezer
        pid = self._fork(request, freezer)
        process = Process(name, group, identify(pid) or Identity(pid, 0))
        self.processes[name] = process
        self.note()
        if "entry" in request:
            process.waiting.append(answer)
        else:
            process.ready = True
            answer({"pid": pid})

    def do_stop(self, request: Request, answer: Callable[[Answer], None]) -> None:
        """Ask a process to end (SIGTERM or the given signal); killed after `seconds`."""
        process = self.processes.get(request["name"])
        if process is None or not process.alive:
            answer({"stopped": False})
            return
        process.ending.append(answer)
        process.stop_by = time.monotonic() + float(request.get("seconds", STOP_SECONDS))
        if process.paused:
            self._group(process.group).resume({process.who.pid})
        send([process.who.pid], int(request.get("signal", signal.SIGTERM)))

    def do_watch(self, request: Request, answer: Callable[[Answer], None]) -> None:
        """Answered when the process has ended, with its exit status (negative: the signal)."""
        process = self._named(request)
        if process.alive:
            process.ending.append(answer)
        else:
            answer({"status": process.exit_status})

    def do_kill(self, request: Request, answer: Callable[[Answer], None]) -> None:
        """SIGKILL a whole place, or one process with what it made; answered when all are dead."""
        group, roots = self._chosen(request)
        death = group.kill(roots)
        self._reap(None)
        answer(dict(asdict(death)))

    def do_pause(self, request: Request, answer: Callable[[Answer], None]) -> None:
        """Freeze a place or one process in the middle of whatever it does."""
        group, roots = self._chosen(request)
        count = group.pause(roots)
        self._mark(roots, paused=True)
        answer({"processes": count})

    def do_resume(self, request: Request, answer: Callable[[Answer], None]) -> None:
        """Let a paused place or process run on."""
        group, roots = self._chosen(request)
        count = group.resume(roots)
        self._mark(roots, paused=False)
        answer({"processes": count})

    def do_status(self, _: Request, answer: Callable[[Answer], None]) -> None:
        """Tell every process that was started, and how it is."""
        answer({"keep": self.keep, "processes": [_describe(process) for process in self.processes.values()]})

    def do_forget(self, _: Request, answer: Callable[[Answer], None]) -> None:
        """Leave those that have ended out of what `status` tells."""
        self.processes = {name: process for name, process in self.processes.items() if process.alive}
        self.note()
        answer({})

    def do_keep(self, request: Request, answer: Callable[[Answer], None]) -> None:
        """Say whether the stack stays when the harness goes."""
        self.keep = bool(request["keep"])
        self.note()
        answer({"keep": self.keep})

    def do_shutdown(self, _: Request, answer: Callable[[Answer], None]) -> None:
        """End everything; answered when nothing is left."""
        self.stopping = True
        self._end_all()
        answer({"ended": True})

    def _chosen(self, request: Request) -> tuple[Group, set[int]]:
        if "group" in request:
            name = str(request["group"])
            return self._group(name), self._roots(name)
        process = self._named(request)
        if not process.alive:
            raise LookupError(f"{process.name} is not running (exit status {process.exit_status})")
        return Group(process.name, None), {process.who.pid}

    def _named(self, request: Request) -> Process:
        name = str(request["name"])
        if name not in self.processes:
            raise LookupError(f"{name} was never started; started were {sorted(self.processes)}")
        return self.processes[name]

    def _group(self, name: str) -> Group:
        if name not in self.groups:
            self.groups[name] = Group(name, make_freezer(f"cutover-{os.getpid()}-{name}"))
        return self.groups[name]

    def _roots(self, group: str) -> set[int]:
        return {one.who.pid for one in self.processes.values() if one.group == group and one.alive}

    def _mark(self, pids: set[int], *, paused: bool) -> None:
        for process in self.processes.values():
            if process.who.pid in pids:
                process.paused = paused

    # -- starting

    def _fork(self, request: Request, freezer: Freezer | None) -> int:
        reading, writing = os.pipe()
        me = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become(request, freezer, me, reading, writing)
        os.close(writing)
        self.selector.register(reading, selectors.EVENT_READ, lambda _: self._hear(request["name"], reading))
        return pid

    def _become(
        self, request: Request, freezer: Freezer | None, parent: int, reading: int, writing: int
    ) -> NoReturn:
        """Be the child: in its group and log before anything of its own runs; never return."""
        status = child.CRASHED
        try:
            _forget_signals()
            self._let_go(reading)
            _redirect(str(request["log"]))
            if freezer:
                freezer.join()
            if "entry" in request:
                status = self._serve(request, parent, writing)
            else:
                _execute(request, parent, self.folder)
        finally:
            child.leave(status)
        raise AssertionError("a child never comes back")

    def _serve(self, request: Request, parent: int, writing: int) -> int:
        die_with_parent(parent, signal.SIGKILL)
        set_name(str(request["name"]))
        return child.run_service(
            request["entry"], request["settings"], writing, fast=bool(request.get("fast"))
        )

    def _let_go(self, reading: int) -> None:
        """Close, in a fresh child, what belongs to the supervisor: a copy would hold connections open."""
        kept = [key.fileobj for key in list(self.selector.get_map().values())]
        self.selector.close()
        for one in kept:
            if isinstance(one, socket.socket):
                one.close()
            elif isinstance(one, int) and one != reading:
                os.close(one)
        os.close(reading)
        os.close(self.lock)

    def _hear(self, name: str, reading: int) -> None:
        said = os.read(reading, 64)
        self.selector.unregister(reading)
        os.close(reading)
        process = self.processes.get(name)  # of one that has ended and was forgotten, its end is heard
        if said and process is not None:
            process.ready = True
            _tell(process.waiting, {"pid": process.who.pid})

    # -- ending

    def _reap(self, _: object) -> None:
        with contextlib.suppress(BlockingIOError):
            self.wake.recv(4096)
        by_pid = {process.who.pid: process for process in self.processes.values() if process.alive}
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] in by_pid:
                    self._ended(by_pid[ended[0]], os.waitstatus_to_exitcode(ended[1]))

    def _ended(self, process: Process, status: int) -> None:
        process.exit_status, process.paused, process.stop_by = status, False, None
        _tell(process.waiting, {"error": f"{process.name} ended with status {status} before it was ready"})
        _tell(process.ending, {"stopped": True, "status": status})
        self.note()

    def _kill_late(self) -> None:
        now = time.monotonic()
        for process in self.processes.values():
            if process.alive and process.stop_by is not None and process.stop_by <= now:
                process.stop_by = None
                Group(process.name, None).kill({process.who.pid})

    def _end_all(self) -> None:
        """End every process of the stack: those that we started, and those that they made."""
        for name in list(self.groups):
            self._group(name).kill(self._roots(name))
        me = os.getpid()
        Group("rest", None).kill(tree_of([me]) - {me})
        self._reap(None)
        for group in self.groups.values():
            if group.freezer:
                group.freezer.remove()
        self.control_path.unlink(missing_ok=True)

    def note(self) -> None:
        """Write down who runs, for whoever finds this stack after we are gone."""
        me = identify(os.getpid())
        alive = [process for process in self.processes.values() if process.alive]
        table = [
            {"name": one.name, "group": one.group, "pid": one.who.pid, "start": one.who.start}
            for one in alive
        ]
        document = {"supervisor": asdict(me) if me else None, "keep": self.keep, "processes": table}
        write_json(self.folder / "processes.json", document)


def _describe(process: Process) -> dict[str, object]:
    return {
        "name": process.name,
        "group": process.group,
        "pid": process.who.pid,
        "alive": process.alive,
        "ready": process.ready and process.alive,
        "paused": process.paused,
        "exit_status": process.exit_status,
    }


def _tell(waiting: list[Callable[[Answer], None]], answer: Answer) -> None:
    for tell in waiting:
        tell(answer)
    waiting.clear()


def _execute(request: Request, parent: int, folder: Path) -> NoReturn:
    """Become a program, as another user where the request says so."""
    if "user" in request:
        os.setgroups([])
        os.setgid(int(request["user"]["gid"]))
        os.setuid(int(request["user"]["uid"]))
    os.setsid()
    os.chdir("/")
    die_with_parent(parent, signal.SIGQUIT)
    environment = {**request["env"], MARKER: str(folder)}
    os.execve(request["argv"][0], request["argv"], environment)


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen()
    return listener


def _signal_pipe() -> socket.socket:
    reading, writing = socket.socketpair()
    reading.settimeout(0)
    writing.settimeout(0)
    signal.set_wakeup_fd(writing.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return reading


def _forget_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def _redirect(log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _detach() -> None:
    """Leave the harness's session, so that its Ctrl-C or its group's end does not reach us."""
    if os.fork():
        os._exit(0)
    os.setsid()


def main() -> None:
    """Run the supervisor of the stack in the given folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("control", type=Path)
    parser.add_argument("lease", type=int)
    parser.add_argument("lock", type=int)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    _detach()
    for inherited in (given.lock, given.lease):
        os.set_inheritable(inherited, False)  # noqa: FBT003 - takes no keyword
    lease = socket.socket(fileno=given.lease)
    adopt_orphans()
    set_name("cutover-stack")
    _redirect(str(given.folder / "logs" / "supervisor.log"))
    supervisor = Supervisor(given.folder, given.control, lease, given.lock, keep=given.keep)
    signal.signal(signal.SIGTERM, lambda *_: setattr(supervisor, "stopping", True))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    supervisor.note()
    supervisor.run()


if __name__ == "__main__":
    main()
