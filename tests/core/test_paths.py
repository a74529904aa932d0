"""Names and paths: what is served, how it is asked for, what it is called."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from empiarfs.core import paths

RAW_NAMES = st.binary(min_size=1, max_size=255).filter(
    lambda raw: raw not in (b".", b"..") and not {0, 47} & set(raw)
)
NAMES = RAW_NAMES.map(lambda raw: raw.decode("utf-8", "surrogateescape"))
PATHS = st.lists(NAMES, max_size=5).map("/".join)


@given(NAMES)
def test_any_bytes_without_slash_and_nul_are_a_name(name: str) -> None:
    assert paths.name_problem(name) is None


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "/", "a/b", "a\0", "\0", "x" * 256, "é" * 128, "\udce9" * 256, "\ud800"],
)
def test_what_the_kernel_cannot_take_is_no_name(name: str) -> None:
    assert paths.name_problem(name)


def test_a_name_of_255_bytes_is_the_longest() -> None:
    assert paths.name_problem("é" * 127 + "x") is None
    assert paths.name_problem("é" * 127 + "xx") is not None


@given(PATHS, NAMES)
def test_splitting_undoes_joining(parent: str, name: str) -> None:
    assert paths.split(paths.join(parent, name)) == (parent, name)


def test_the_root_has_neither_parent_nor_name() -> None:
    assert paths.split("") == ("", "")


@given(PATHS)
def test_a_url_means_exactly_the_bytes_of_its_path(path: str) -> None:
    url = paths.url_path(path)

    assert unquote_to_bytes(url) == path.encode("utf-8", "surrogateescape")
    assert url.count("/") == path.count("/")
    assert not set(url) - set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~%/"
    )


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("", ""),
        ("10934/data/x.mrc", "10934/data/x.mrc"),
        ("a%20b", "a%2520b"),
        ("a b?c#d+e&f", "a%20b%3Fc%23d%2Be%26f"),
        ("latin1_\udce9", "latin1_%E9"),
        ("é", "%C3%A9"),
        ("12:30.tif", "12%3A30.tif"),
    ],
)
def test_paths_are_encoded_once(path: str, url: str) -> None:
    assert paths.url_path(path) == url


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("EMPIAR-10017", "10017"),
        ("empiar-10017/data", "10017/data"),
        ("Empiar-10017/EMPIAR-10017", "10017/EMPIAR-10017"),
        ("10017", "10017"),
        ("", ""),
        ("EMPIAR-", "EMPIAR-"),
        ("EMPIAR-10017x", "EMPIAR-10017x"),
        ("EMPIAR-10017\n", "EMPIAR-10017\n"),
        ("EMPIAR-\u0661", "EMPIAR-\u0661"),
        ("xEMPIAR-10017", "xEMPIAR-10017"),
        ("10017/EMPIAR-10018", "10017/EMPIAR-10018"),
    ],
)
def test_an_entry_has_two_names_and_nothing_else_has(path: str, canonical: str) -> None:
    assert paths.canonical(path) == canonical


@given(PATHS)
def test_the_canonical_path_is_canonical(path: str) -> None:
    once = paths.canonical(path)

    assert paths.canonical(once) == once


@pytest.mark.parametrize(
    "name",
    [
        *(".Trash", ".Trash-1000", ".git", ".gitignore", ".hidden", ".directory", "autorun.inf"),
        *("AUTORUN.INF", ".DS_Store", "Thumbs.db", "desktop.ini", "System Volume Information"),
        *("x.db-journal", "x.db-wal", "x.db-shm", ".x.mrc.swp", ".~lock.a.csv#", ".#x.star"),
        *(".nfs000000000001", ".fuse_hidden0001", ".xdg-volume-info", ".svn", ".envrc"),
        ".empiar",
    ],
)
def test_names_that_only_this_machine_asks_for_are_known(name: str) -> None:
    assert paths.is_local_only(name)


@pytest.mark.parametrize(
    "name",
    [
        *("10934", "data", "x.mrc", "git", "README.md", ".zattrs", ".zgroup", "journal"),
        *("hidden", "CVS", "a.swp", ".swp", "wal", "x-wal.mrc", "Trash", ".x"),
    ],
)
def test_other_names_are_not_taken_for_this_machines(name: str) -> None:
    assert not paths.is_local_only(name)


@pytest.mark.parametrize(
    "name",
    ["README", "README.txt", "HEADER.html", ".zattrs", "x~", "x#", "x,v", "x,t", "RCS", "CVS"],
)
def test_names_that_apache_hides_are_known(name: str) -> None:
    assert paths.is_hidden_by_apache(name)


@pytest.mark.parametrize(
    "name", ["readme", "x.README", "a~b", "a#b", "CVS2", "x,vv", "data", "a."]
)
def test_other_names_are_not_hidden(name: str) -> None:
    assert not paths.is_hidden_by_apache(name)


def test_only_the_root_has_the_roots_inode() -> None:
    assert paths.inode_of("") == 1


@given(PATHS.filter(bool))
def test_inodes_are_64_bits_and_never_a_reserved_number(path: str) -> None:
    assert 2 <= paths.inode_of(path) < 2**64


def test_inodes_stay_the_same_for_ever() -> None:
    # What tar and rsync compare between two runs, and across machines.
    assert paths.inode_of("10934/data/x.mrc") == 0x932C2A7DEAD97268
    assert paths.inode_of("latin1_\udce9") == 0x440EFED7D09B4872
