"""ratarmount, on top of the mount, shows what is inside of packed files (docs/programs.md)."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.mounts import Mount, mount_points, mounted
from tests.support.users import CHECKOUT
from tests.support.waiting import wait_until

BESIDE = CHECKOUT / "build" / "ratarmount" / "bin" / "ratarmount"
RATARMOUNT = str(BESIDE) if BESIDE.exists() else shutil.which("ratarmount")

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.apache,
    pytest.mark.skipif(RATARMOUNT is None, reason="ratarmount is not installed"),
]

MEMBERS = {
    "movies/a.mrc": tree.contents(b"a", 700_001),
    "movies/deeper/b.mrc": tree.contents(b"b", 123_456),
    "notes.txt": b"packed\n",
}
MODES = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2"}


def packed(kind: str) -> bytes:
    """Return an archive of that kind with the members."""
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in MEMBERS.items():
                archive.writestr(name, data)
        return buffer.getvalue()
    with tarfile.open(fileobj=buffer, mode=MODES[kind]) as archive:  # type: ignore[call-overload]
        for name, data in MEMBERS.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def mount() -> Iterator[Mount]:
    """A mount of an entry whose files are packed."""
    with tree.temporary_root() as root:
        for kind in (*MODES, "zip"):
            tree.write_file(root / f"10000/data/movies.{kind}", packed(kind))
        tree.set_times(root)
        with ApacheServer(root) as server, mounted(server.url) as made:
            yield made


@pytest.mark.parametrize("kind", [*MODES, "zip"])
def test_what_is_inside_of_a_packed_file_can_be_read(
    mount: Mount, tmp_path: Path, kind: str
) -> None:
    assert RATARMOUNT is not None
    inside = tmp_path / "inside"
    inside.mkdir()
    page = (CHECKOUT / "docs" / "programs.md").read_text(encoding="utf-8")
    (option,) = re.findall(r"^ratarmount (--[a-z-]+) ", page, re.MULTILINE)
    process = subprocess.Popen(
        [
            *(RATARMOUNT, "--foreground", option, str(tmp_path / "index")),
            *(str(mount.path / f"10000/data/movies.{kind}"), str(inside)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until(lambda: str(inside) in mount_points("fuse") or process.poll() is not None, 30)
        found = {
            str(path.relative_to(inside)): path.read_bytes()
            for path in inside.rglob("*")
            if path.is_file()
        }
    finally:
        subprocess.run(["umount", "-l", str(inside)], check=False, stderr=subprocess.DEVNULL)
        process.terminate()
        said = process.communicate(timeout=30)[0]

    assert found == MEMBERS, said
