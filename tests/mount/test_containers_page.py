"""The recipe of an image fits the checkout, and what docs/containers.md says of mounts holds."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.conftest import Served
from tests.support.sandbox import Sandbox, sandbox
from tests.support.users import CHECKOUT, NOBODY, plain_python, run_as
from tests.support.waiting import wait_until

PAGE = CHECKOUT / "docs" / "containers.md"
RECIPE = CHECKOUT / "scripts" / "containers" / "Containerfile"


def instructions() -> list[tuple[str, str]]:
    """Return the recipe's instructions, each with its words in one line."""
    lines = [line for line in RECIPE.read_text(encoding="utf-8").splitlines() if line]
    text = "\n".join(line for line in lines if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in joined]


def test_the_recipe_copies_all_that_the_package_is_built_from() -> None:
    copied = [
        source
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]

    assert all((CHECKOUT / source).exists() for source in copied), copied
    assert {"pyproject.toml", "README.md", "LICENSE", "requirements.lock", "empiarfs"} == set(
        copied
    )


def test_the_recipe_installs_what_the_lock_has_by_its_checksums() -> None:
    runs = " ".join(rest for word, rest in instructions() if word == "RUN")

    assert "--require-hashes -r /source/requirements.lock" in runs
    assert ("ENTRYPOINT", '["empiarfs"]') in instructions()


@pytest.fixture
def shared(served: Served) -> Iterator[Sandbox]:
    """A sandbox whose mount point is shared with other mount namespaces."""
    if os.geteuid() != 0:
        pytest.skip("is not root")
    with sandbox(plain_python()) as box:
        box.environment["EMPIARFS_ARCHIVE_URL"] = served.server.url
        subprocess.run(["mount", "--bind", box.point, box.point], check=True)
        subprocess.run(["mount", "--make-shared", box.point], check=True)
        yield box
        run_as(None, ["umount", "-l", str(box.point)])


@pytest.mark.fuse
@pytest.mark.apache
def test_a_mount_in_a_namespace_of_its_own_is_the_machines_where_it_is_shared(
    shared: Sandbox, served: Served
) -> None:
    (flags,) = re.findall(r"^    empiarfs mount (.*) /empiar$", PAGE.read_text(), re.MULTILINE)
    shared.point.chmod(0o755)
    words = shared.words("mount", *flags.split(), shared.point)
    inside = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "unchanged", *words],
        env=shared.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: shared.is_mounted or inside.poll() is not None, 20)
        read = run_as(NOBODY, ["cat", str(shared.point / "10017/data/three_blocks.dat")])
    finally:
        inside.send_signal(signal.SIGTERM)
        said = inside.communicate(timeout=30)[1]

    assert (read.returncode, inside.returncode) == (0, 0), said
    assert read.stdout == Path(served.root / "10017/data/three_blocks.dat").read_bytes()
    assert not shared.is_mounted
