"""Which generation is current, and what becomes of the others."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from empiarfs.cache.generations import Generation, Generations
from empiarfs.cache.locks import locked
from empiarfs.errors import CacheError


def test_the_first_generation_is_made_when_it_is_needed(tmp_path: Path) -> None:
    generations = Generations(tmp_path / "blocks")
    generation = generations.open()

    assert generation.path == tmp_path / "blocks" / "gen-1"
    assert generations.is_current(generation)
    assert (generation.path.stat().st_mode & 0o777) == 0o700


def test_all_open_the_same_one(tmp_path: Path) -> None:
    opened: list[Generation] = []
    threads = [
        threading.Thread(target=lambda: opened.append(Generations(tmp_path).open()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {generation.path.name for generation in opened} == {"gen-1"}
    assert len(opened) == 8


def test_a_generation_is_succeeded_once(tmp_path: Path) -> None:
    generations = Generations(tmp_path)
    first = generations.open()
    generations.succeed(first)
    generations.succeed(first)  # another process found it damaged, too

    assert not generations.is_current(first)
    assert generations.open().path.name == "gen-2"


@pytest.mark.parametrize("content", ["", "gen-7", "../gen-1", "gen-1/../..", "\xff" * 500])
def test_a_damaged_pointer_leads_to_a_new_generation(tmp_path: Path, content: str) -> None:
    Generations(tmp_path).open().close()
    (tmp_path / "current").write_text(content)

    assert Generations(tmp_path).open().path == tmp_path / "gen-2"


def test_a_link_in_the_place_of_a_generation_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    blocks = tmp_path / "blocks"
    Generations(blocks).open().close()
    (blocks / "gen-1").rmdir()
    (blocks / "gen-1").symlink_to(elsewhere)

    assert Generations(blocks).open().path == blocks / "gen-2"


def test_old_generations_go_when_nobody_holds_them(tmp_path: Path) -> None:
    generations = Generations(tmp_path)
    old = generations.open()
    (old.path / "0a").mkdir()
    (old.path / "0a" / "block").write_bytes(b"x")
    (old.path / "cache.db").write_bytes(b"x")
    generations.succeed(old)

    assert not generations.remove_outdated()
    assert sorted(os.listdir(old.path)) == ["cache.db"]
    old.close()
    assert generations.remove_outdated()
    assert not old.path.exists()
    assert generations.open().path.name == "gen-2"


def test_a_newer_generation_than_the_current_one_is_left_alone(tmp_path: Path) -> None:
    generations = Generations(tmp_path)
    generations.open().close()
    (tmp_path / "gen-5").mkdir()

    assert generations.remove_outdated()
    assert (tmp_path / "gen-5").is_dir()


def test_a_lock_that_stays_is_an_error_and_no_hang(tmp_path: Path) -> None:
    with (
        locked(os.fspath(tmp_path / "generations.lock"), 0),
        pytest.raises(CacheError, match="locked"),
    ):
        Generations(tmp_path).open()
