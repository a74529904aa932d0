"""RELION's motion correction and extraction give the same from the mount as from files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import relion, tree
from tests.support.apache import ApacheServer
from tests.support.mounts import mounted

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.apache,
    pytest.mark.slow,
    pytest.mark.skipif(not relion.is_installed(), reason="RELION is not installed"),
]


def test_a_job_makes_the_same_from_the_mount_as_from_local_files(
    root: Path, tmp_path: Path
) -> None:
    relion.make_dataset(root)
    tree.set_times(root)
    relion.run_job(root / relion.DATASET, tmp_path / "local")
    with ApacheServer(root) as server, mounted(server.url) as mount:
        relion.run_job(mount.path / relion.DATASET, tmp_path / "mounted")

    expected = relion.outputs(tmp_path / "local")
    found = relion.outputs(tmp_path / "mounted")
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    images = [name for name in expected if name.endswith((".mrc", ".mrcs"))]
    assert len(images) == 3 * relion.MOVIES
