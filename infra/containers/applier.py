"""Applies the Pulumi program to Docker engines, where there is no Pulumi: makes what it declares, once.

No state, no diff, no refresh, no destroy: what is made is known by its labels, and removed by them.
The SDK hands over each resource when what it depends on is made, so order and parallelism are the
program's own; the program cannot tell this from the real engine.

    python -m infra.containers.applier < {"settings": {...}, "key": "..."}
"""

import asyncio
import io
import json
import os
import re
import runpy
import sys
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pulumi
from docker.types import Healthcheck, IPAMConfig, IPAMPool, LogConfig
from pulumi.runtime import mocks, rpc
from pulumi.runtime.stack import run_in_stack

from cutover.model.secret import Secret
from infra.blueprint.settings import StackSettings
from infra.components.exports import document_of, settings_of
from infra.components.settings import KEY, KEYS, NAMESPACE
from infra.containers.engine import connect

PROGRAM = Path(__file__).resolve().parents[1] / "__main__.py"
PROJECT = "cutover"
FAILED = 70

LOOK_SECONDS = 0.3
"""Pause between two health checks while a container starts (seconds): each starts a process in it."""

WAIT_SECONDS = 60.0
"""Longest wait for health where the program names no other (seconds), as in the provider."""

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

Inputs = Mapping[str, Any]
Made = tuple[str, dict[str, Any]]


class Refused(Exception):
    """An engine did not do what the program declares; the message says what and why."""


class Applier(mocks.Mocks):
    """Makes each resource that the program declares, on the engine that its provider names."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._hosts: dict[str, str] = {}  #: engine by id of its provider
        self._makers: Mapping[str, Callable[[docker.DockerClient, Inputs], Made]] = {
            "docker:index/network:Network": _network,
            "docker:index/volume:Volume": _volume,
            "docker:index/remoteImage:RemoteImage": _image,
            "docker:index/container:Container": self._container,
        }

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        """Refuse: the program asks no engine for anything."""
        raise Refused(f"the applier cannot look up {args.token}")

    def new_resource(self, args: mocks.MockResourceArgs) -> Made:
        """Make one resource; components are only names for what is in them."""
        inputs = _plain(args.inputs)
        if args.typ == "pulumi:providers:docker":
            self._hosts[args.name] = inputs.get("host", "")
            return args.name, dict(inputs)
        if not args.custom:
            return args.name, dict(inputs)
        if args.typ not in self._makers:
            raise Refused(f"the applier makes no {args.typ} ({args.name}); it knows {sorted(self._makers)}")
        try:
            return self._makers[args.typ](self._engine(args.provider or ""), inputs)
        except docker.errors.DockerException as error:
            raise Refused(f"{args.name}: {getattr(error, 'explanation', None) or error}") from error

    def _engine(self, provider: str) -> docker.DockerClient:
        """Return a client of the engine that a provider stands for.

        DOCKER_HOST, which the SDK writes into a provider that names none, is not taken by
        itself: what else the environment says of that engine, such as its certificates, belongs to it.
        """
        host = self._hosts.get(provider.rpartition("::")[2], "")
        return connect(None if host in ("", os.environ.get("DOCKER_HOST")) else host)

    def _container(self, client: docker.DockerClient, inputs: Inputs) -> Made:
        begun = time.monotonic()
        made = _create(client, inputs)
        client.api.start(made)
        if inputs.get("mustRun", True) and inputs.get("wait"):
            _until_healthy(client, made, inputs)
        self._tell(f"{inputs['name']} stands after {time.monotonic() - begun:.1f} s")
        return made, {**inputs, "id": made}


def _network(client: docker.DockerClient, inputs: Inputs) -> Made:
    pools = [IPAMPool(subnet=one["subnet"], gateway=one["gateway"]) for one in inputs["ipamConfigs"]]
    made = client.networks.create(
        inputs["name"],
        driver=inputs.get("driver", "bridge"),
        internal=inputs.get("internal", False),
        ipam=IPAMConfig(pool_configs=pools),
        options=inputs.get("options"),
        labels=_labels(inputs),
    )
    return str(made.id), {**inputs, "id": made.id}


def _volume(client: docker.DockerClient, inputs: Inputs) -> Made:
    made = client.volumes.create(inputs["name"], driver_opts=inputs.get("driverOpts"), labels=_labels(inputs))
    return str(made.name), dict(inputs)


def _image(client: docker.DockerClient, inputs: Inputs) -> Made:
    try:
        found = client.images.get(inputs["name"])
    except docker.errors.ImageNotFound:
        found = client.images.pull(inputs["name"])
    return str(found.id), {**inputs, "imageId": found.id, "repoDigest": ""}


def _create(client: docker.DockerClient, inputs: Inputs) -> str:
    attached: Sequence[Inputs] = inputs["networksAdvanced"]
    first, *others = attached
    created = client.api.create_container(
        inputs["image"],
        name=inputs["name"],
        command=inputs.get("command"),
        entrypoint=inputs.get("entrypoints"),
        environment=inputs.get("envs"),
        user=inputs.get("user"),
        labels=_labels(inputs),
        healthcheck=_health(inputs.get("healthcheck")),
        stop_timeout=inputs.get("destroyGraceSeconds"),
        ports=[port["internal"] for port in inputs.get("ports", ())],
        host_config=_host_config(client, inputs),
        networking_config=client.api.create_networking_config(
            {first["name"]: _endpoint(client, first)}  # type: ignore[arg-type]  # the stub forgets the names
        ),
    )
    made = str(created["Id"])
    for one in others:
        client.api.connect_container_to_network(
            made, one["name"], ipv4_address=one.get("ipv4Address"), aliases=one.get("aliases")
        )
    if uploads := inputs.get("uploads"):
        client.api.put_archive(made, "/", _tar(uploads))
    return made


def _host_config(client: docker.DockerClient, inputs: Inputs) -> Any:
    capabilities = inputs.get("capabilities") or {}
    binds = [
        f"{one.get('volumeName') or one['hostPath']}:{one['containerPath']}"
        + (":ro" if one.get("readOnly") else "")
        for one in inputs.get("volumes", ())
    ]
    return client.api.create_host_config(
        binds=binds,
        cap_add=capabilities.get("adds"),
        cap_drop=capabilities.get("drops"),
        dns_opt=inputs.get("dnsOpts"),
        init=inputs.get("init"),
        log_config=LogConfig(type=inputs.get("logDriver", "json-file"), config=inputs.get("logOpts") or {}),
        mem_limit=f"{inputs['memory']}m" if inputs.get("memory") else None,
        network_mode=inputs["networksAdvanced"][0]["name"],
        port_bindings={
            port["internal"]: (port["ip"], port.get("external", port["internal"]))
            for port in inputs.get("ports", ())
        },
        restart_policy={"Name": inputs.get("restart", "no")},
        security_opt=inputs.get("securityOpts"),
        shm_size=f"{inputs['shmSize']}m" if inputs.get("shmSize") else None,
        tmpfs=inputs.get("tmpfs"),
    )


def _endpoint(client: docker.DockerClient, network: Inputs) -> Any:
    return client.api.create_endpoint_config(
        ipv4_address=network.get("ipv4Address"), aliases=network.get("aliases")
    )


def _health(check: Inputs | None) -> Healthcheck | None:
    if check is None:
        return None
    return Healthcheck(
        test=check["tests"],
        interval=_nanoseconds(check.get("interval")),
        timeout=_nanoseconds(check.get("timeout")),
        start_period=_nanoseconds(check.get("startPeriod")),
        retries=check.get("retries"),
    )


def _nanoseconds(duration: str | None) -> int | None:
    return None if duration is None else round(_seconds(duration) * 1e9)


def _seconds(duration: str) -> float:
    """Read a duration in Go's own form, such as 1m30s or 1.5s."""
    parts = re.findall(r"([\d.]+)(h|ms|m|s)", duration)
    if "".join(number + unit for number, unit in parts) != duration:
        raise Refused(f"{duration!r} is no duration in Go's form, such as 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _until_healthy(client: docker.DockerClient, made: str, inputs: Inputs) -> None:
    """Wait until the container's own check passes: run here and now, not when the engine's turn comes."""
    deadline = time.monotonic() + float(inputs.get("waitTimeout") or WAIT_SECONDS)
    check = _argv(inputs["healthcheck"]["tests"])
    while not _passes(client, made, check):
        state = client.api.inspect_container(made)["State"]
        if not state["Running"] or time.monotonic() > deadline:
            words = client.api.logs(made, tail=15).decode(errors="replace")
            how = "is not healthy in time" if state["Running"] else f"ended with {state['ExitCode']}"
            raise Refused(f"{inputs['name']} {how}; its log ends: {words}")
        time.sleep(LOOK_SECONDS)


def _argv(test: Sequence[str]) -> list[str]:
    """Return the program of a health check, as the engine understands it."""
    kind, *words = test
    return ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words


def _passes(client: docker.DockerClient, made: str, check: Sequence[str]) -> bool:
    try:
        run = client.api.exec_create(made, list(check))
        client.api.exec_start(run["Id"])
        return bool(client.api.exec_inspect(run["Id"])["ExitCode"] == 0)
    except docker.errors.APIError:  # it has ended: what follows says how
        return False


def _labels(inputs: Inputs) -> dict[str, str]:
    return {one["label"]: one["value"] for one in inputs.get("labels", ())}


def _tar(uploads: Sequence[Inputs]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for one in uploads:
            content = one["content"].encode()
            entry = tarfile.TarInfo(one["file"].lstrip("/"))
            entry.size, entry.mode = len(content), int(one.get("permissions", "0644"), 8)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _plain(value: Any) -> Any:
    """Return inputs without the marks of secrets; on the way here every number became a float."""
    value = rpc.unwrap_rpc_secret(value)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def apply(settings: StackSettings, key: Secret, tell: Callable[[str], None]) -> None:
    """Make everything that the program declares for these settings. Raises Refused."""
    secret = f"{NAMESPACE}:{KEY}"
    pulumi.runtime.set_all_config({**config_of(settings), secret: key.reveal()}, [secret])
    mocks.set_mocks(Applier(tell), project=PROJECT, stack=settings.name, preview=False)
    pulumi.runtime.settings.set_root_resource(None)  # type: ignore[arg-type]
    asyncio.get_event_loop().run_until_complete(run_in_stack(_program))


def config_of(settings: StackSettings) -> Mapping[str, str]:
    """Return the configuration that the program reads these settings from."""
    told = {KEYS[field]: value for field, value in document_of(settings).items() if value}
    return {
        f"{NAMESPACE}:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in told.items()
    }


def _program() -> None:
    runpy.run_path(str(PROGRAM), run_name="__main__")


def main() -> int:
    """Apply what stands on standard input; exit status 0, or 70 with the reason on standard error."""
    told = json.load(sys.stdin)
    asyncio.set_event_loop(asyncio.new_event_loop())
    try:
        apply(settings_of(told["settings"]), Secret(told["key"]), _say)
    except Exception as error:
        _say(f"{type(error).__name__}: {error}")
        return FAILED
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
