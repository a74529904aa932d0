"""Which mount a path lies in, told without touching the mount."""

from __future__ import annotations

from pathlib import Path

import pytest

from empiarfs.mount.places import place_of, split_at_mount

POINT = "/nowhere/empiar"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (POINT, (POINT, "")),
        (f"{POINT}/", (POINT, "")),
        (f"{POINT}/10934/data/x", (POINT, "10934/data/x")),
        (f"{POINT}//10934/./data/", (POINT, "10934/data")),
        (f"{POINT}/10934/../10017", (POINT, "10017")),
        (f"{POINT}/10934/../../empiar/10017", (POINT, "10017")),
        (f"{POINT}/..", None),
        (f"{POINT}2/x", None),
        ("/nowhere", None),
        ("/", None),
    ],
)
def test_the_names_alone_tell_what_lies_in_a_mount(
    path: str, found: tuple[str, str] | None
) -> None:
    assert split_at_mount(path, {POINT}) == found


def test_links_on_the_way_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "project").mkdir()
    (tmp_path / "project/data").symlink_to(f"{POINT}/10934/data")
    (tmp_path / "relative").symlink_to("project/data/movies")
    (tmp_path / "loop").symlink_to("loop")

    assert split_at_mount("project/data/x", {POINT}) == (POINT, "10934/data/x")
    assert split_at_mount("relative/..", {POINT}) == (POINT, "10934/data")
    assert split_at_mount("project", {POINT}) is None
    assert split_at_mount("loop/x", {POINT}) is None


def test_the_deepest_path_is_of_the_mount_that_is_met_first() -> None:
    assert split_at_mount("/a/b/c", {"/a", "/a/b"}) == ("/a", "b/c")


def test_what_is_in_no_mount_has_no_place(tmp_path: Path) -> None:
    assert place_of(str(tmp_path)) is None
