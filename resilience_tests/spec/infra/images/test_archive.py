"""Archives have the same bytes for the same content, and hold nothing that nobody named."""

import os
import tarfile
from pathlib import Path

from infra.images.archive import archive_of, source_files, write_archive


def tree(folder: Path, *, order: int = 1, mode: int = 0o644, seconds: int = 1) -> Path:
    for name in sorted(("b/two.py", "a/one.py", "a/run"))[::order]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(0o755 if path.name == "run" else mode)
        os.utime(path, (seconds, seconds))
    (folder / "a/link").symlink_to("run")
    return folder


def test_time_owner_and_order_leave_no_trace(tmp_path: Path) -> None:
    write_archive(tmp_path / "first.tar", tree(tmp_path / "first"))
    write_archive(tmp_path / "second.tar", tree(tmp_path / "second", order=-1, mode=0o600, seconds=99))
    assert (tmp_path / "first.tar").read_bytes() == (tmp_path / "second.tar").read_bytes()


def test_programs_stay_programs_and_links_stay_links(tmp_path: Path) -> None:
    write_archive(tmp_path / "it.tar", tree(tmp_path / "it"))
    with tarfile.open(tmp_path / "it.tar") as tar:
        assert {one.name: oct(one.mode) for one in tar if one.isfile()} == {
            "a/one.py": "0o644",
            "a/run": "0o755",
            "b/two.py": "0o644",
        }
        assert tar.getmember("a/link").linkname == "run"
        assert {(one.uid, one.gid, one.uname) for one in tar} == {(0, 0, "")}


def test_an_order_of_names_makes_no_other_archive() -> None:
    assert archive_of({"a": b"1", "b": b"2"}) == archive_of({"b": b"2", "a": b"1"})


def test_what_nobody_named_stays_outside(tmp_path: Path) -> None:
    for name in ("infra/x.py", "infra/stacks/Pulumi.dev.yaml", "infra/key.pem", "infra/.env", "other/y.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("secret")
    assert set(source_files(tmp_path, ["infra"], frozenset({".py"}))) == {"infra/x.py"}
