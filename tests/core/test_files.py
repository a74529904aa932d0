"""Versions, files and the keys of their blocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from empiarfs.core.blocks import BlockIndex
from empiarfs.core.files import BlockKey, FileVersion, RemoteFile

ARCHIVE = "https://ftp.ebi.ac.uk/empiar/world_availability/"
VERSION = FileVersion(569_560_224, 1_738_957_740)

TAGS = st.text('a-"etg5', max_size=4)
VERSIONS = st.one_of(
    st.builds(FileVersion, st.integers(0, 5), st.integers(-5, 5)),
    st.builds(FileVersion, st.integers(0, 5), st.none(), st.none() | TAGS),
)


@given(VERSIONS, VERSIONS)
def test_versions_have_one_text_exactly_if_they_are_equal_or_lack_any_tag(
    one: FileVersion, other: FileVersion
) -> None:
    # No ETag and an empty one say the same: nothing.
    same = (one.size, one.modified_s, one.etag or "") == (
        other.size,
        other.modified_s,
        other.etag or "",
    )

    assert (str(one) == str(other)) == same


def test_a_version_shows_its_validator_to_people() -> None:
    assert VERSION.validator == "Fri, 07 Feb 2025 19:49:00 GMT"
    assert FileVersion(1, None, "abc-1").validator == '"abc-1"'
    assert FileVersion(1, None).validator == ""


def test_a_version_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 bytes"):
        FileVersion(-1, None)
    with pytest.raises(ValueError, match="only where Last-Modified is missing"):
        FileVersion(1, 2, "tag")


PATHS = st.text("ab/\udce9", min_size=1, max_size=5)


@given(PATHS, VERSIONS, PATHS, VERSIONS)
def test_files_share_a_key_exactly_if_path_and_version_are_the_same(
    path: str, version: FileVersion, other_path: str, other_version: FileVersion
) -> None:
    one = RemoteFile(ARCHIVE, path, version)
    other = RemoteFile(ARCHIVE, other_path, other_version)
    same = path == other_path and str(version) == str(other_version)

    assert (one.name_key == other.name_key) == same
    assert (one.short_key == other.short_key) == same


def test_two_archives_never_share_a_key() -> None:
    mirror = RemoteFile("http://localhost/", "10934/data/x.mrc", VERSION)
    archive = RemoteFile(ARCHIVE, "10934/data/x.mrc", VERSION)

    assert mirror.short_key != archive.short_key


def test_short_keys_stay_the_same_for_ever() -> None:
    # A cache that was filled by an earlier release must still be found.
    file = RemoteFile(ARCHIVE, "10934/data/latin1_\udce9.mrc", VERSION)

    assert file.short_key == "bab5c61b63aea5ff640c965e42478abd"
    assert BlockKey(file.short_key, BlockIndex(255)).short == f"{file.short_key}.ff"


def test_a_file_knows_its_size_and_its_entry() -> None:
    file = RemoteFile(ARCHIVE, "10934/data/x.mrc", VERSION)

    assert file.size == 569_560_224
    assert file.entry == "10934"


def test_keys_of_other_blocks_and_files_differ() -> None:
    keys = [
        BlockKey(
            RemoteFile(ARCHIVE, path, FileVersion(size, 1)).short_key, BlockIndex(index)
        ).short
        for path in ("a", "b")
        for size in (1, 2)
        for index in (0, 1, 16)
    ]

    assert len(set(keys)) == len(keys)
    assert max(map(len, keys)) < 40


def test_a_crafted_etag_cannot_pass_for_another_files_version() -> None:
    crafted = RemoteFile("http://a/", "x", FileVersion(5, None, "a@6-7"))
    plain = RemoteFile("http://a/", "x@5-etag-a", FileVersion(6, 7))

    assert crafted.name_key != plain.name_key
