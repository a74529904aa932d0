"""Where copies of entries are looked for."""

from __future__ import annotations

import pytest

from empiarfs.config import DEFAULT_ARCHIVE_URL
from empiarfs.core.layouts import entry_folders, is_safe


def test_the_layouts_of_the_programs_that_copy_are_known() -> None:
    assert entry_folders("10934", DEFAULT_ARCHIVE_URL, "empiar") == (
        "10934",
        "EMPIAR-10934",
        "world_availability/10934",
        "empiar/world_availability/10934",
        "ftp.ebi.ac.uk/empiar/world_availability/10934",
    )


@pytest.mark.parametrize(("name", "is_own"), [("10934", 1), ("EMPIAR-10934", 1), ("10935", 0)])
def test_a_directory_with_the_entrys_name_may_be_the_entry(name: str, is_own: int) -> None:
    assert entry_folders("10934", DEFAULT_ARCHIVE_URL, name).count(".") == is_own


def test_what_wget_calls_a_server_with_a_port_is_known() -> None:
    folders = entry_folders("10934", "http://127.0.0.1:8080/x%20y/", "copies")

    assert folders[2:4] == ("x y/10934", "127.0.0.1:8080/x y/10934")


def test_copies_from_empiar_are_known_where_another_archive_is_mounted() -> None:
    folders = entry_folders("10934", "http://127.0.0.1/", "copies")

    assert {"world_availability/10934", "empiar/world_availability/10934"} <= set(folders)


def test_a_name_that_is_no_number_has_no_other() -> None:
    assert entry_folders("about", DEFAULT_ARCHIVE_URL, "about")[:2] == (".", "about")


@pytest.mark.parametrize("path", ["../x", "a/../../x", "a//b", "/a", "a/.", "a\0b", ""])
def test_a_path_that_leads_elsewhere_is_not_safe(path: str) -> None:
    assert not is_safe(path)
    assert is_safe("10934/data/..x")
