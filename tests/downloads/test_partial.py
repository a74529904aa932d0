"""A file that isn't whole: gone on with, never believed beyond what reached the disk."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from random import Random

import pytest

from empiarfs.downloads.partial import PartialFile, digest_of, is_partial
from empiarfs.errors import DownloadError

SIZE = 3_000_000
DATA = Random(1).randbytes(SIZE)


def partials(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_partial(path.name))


def note_of(folder: Path) -> Path:
    (note,) = [path for path in partials(folder) if path.name.endswith("-ok")]
    return note


def begin(folder: Path, size: int) -> None:
    with PartialFile(folder / "x.mrc", "v1", SIZE) as partial:
        partial.add(DATA[:size])


def finish(folder: Path, version: str = "v1") -> int:
    """Go on to the end; return at which byte that began."""
    with PartialFile(folder / "x.mrc", version, SIZE) as partial:
        began = partial.done
        partial.add(DATA[partial.done :])
        assert partial.finish(1_500_000_000) == hashlib.sha256(DATA).hexdigest()
    return began


@pytest.mark.parametrize("done", [0, 1, 70_000, SIZE])
def test_it_goes_on_where_it_was(tmp_path: Path, done: int) -> None:
    begin(tmp_path, done)

    assert finish(tmp_path) == done
    assert (tmp_path / "x.mrc").read_bytes() == DATA
    assert (tmp_path / "x.mrc").stat().st_mtime == 1_500_000_000
    assert os.listdir(tmp_path) == ["x.mrc"]


def test_nothing_has_the_files_name_before_it_is_whole(tmp_path: Path) -> None:
    begin(tmp_path, SIZE)

    assert not (tmp_path / "x.mrc").exists()


def test_what_was_begun_of_another_version_is_not_added_to(tmp_path: Path) -> None:
    begin(tmp_path, 1000)

    assert finish(tmp_path, "v2") == 0


def test_after_another_boot_only_what_was_forced_to_the_disk_counts(tmp_path: Path) -> None:
    begin(tmp_path, 2_000_000)
    note = note_of(tmp_path)
    note.write_text(json.dumps({"boot": "an earlier one", "synced": 500_000}))
    # What a crash leaves where blocks never reached the disk.
    with partials(tmp_path)[0].open("r+b") as file:
        file.seek(600_000)
        file.write(bytes(1_000_000))

    assert finish(tmp_path) == 500_000
    assert (tmp_path / "x.mrc").read_bytes() == DATA


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"boot": 7, "synced": "x"}', "\0" * 50])
def test_a_note_that_makes_no_sense_means_from_the_start(tmp_path: Path, text: str) -> None:
    begin(tmp_path, 2_000_000)
    note_of(tmp_path).write_text(text)

    assert finish(tmp_path) == 0


@pytest.mark.parametrize("synced", [10**30, -5])
def test_a_note_is_not_believed_beyond_the_file(tmp_path: Path, synced: int) -> None:
    begin(tmp_path, 1000)
    note_of(tmp_path).write_text(json.dumps({"boot": "", "synced": synced}))

    assert finish(tmp_path) in (0, 1000)


def test_a_file_that_is_too_long_is_cut(tmp_path: Path) -> None:
    begin(tmp_path, SIZE)
    with partials(tmp_path)[0].open("ab") as file:
        file.write(b"more")

    assert finish(tmp_path) == SIZE


def test_two_never_write_one_file(tmp_path: Path) -> None:
    with (
        PartialFile(tmp_path / "x.mrc", "v1", SIZE),
        pytest.raises(DownloadError, match="another process"),
    ):
        PartialFile(tmp_path / "x.mrc", "v1", SIZE)


def test_a_name_as_long_as_names_can_be_has_room(tmp_path: Path) -> None:
    names = ["x" * 255, "x" * 254 + "y", os.fsdecode(b"\xff" * 255)]
    for name in names:
        with PartialFile(tmp_path / name, "v1", SIZE) as partial:
            partial.add(DATA)
            partial.finish(None)

    assert sorted(os.listdir(tmp_path)) == sorted(names)


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    begin(tmp_path, 10)
    (path, *_) = [each for each in partials(tmp_path) if not each.name.endswith("-ok")]
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic links"):
        PartialFile(tmp_path / "x.mrc", "v1", SIZE)
    assert not (tmp_path / "elsewhere").exists()


def test_the_digest_of_a_file_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(DATA)

    assert digest_of(tmp_path / "x") == hashlib.sha256(DATA).hexdigest()
