"""Settings of the Python interface, and the parts that it stands on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import empiarfs
from empiarfs.errors import ConfigError
from empiarfs.python import session
from tests.python.conftest import STACK, STACK_SIZE, Served
from tests.support.users import CHECKOUT


def test_settings_have_their_names_and_any_fitting_type(tmp_path: Path) -> None:
    empiarfs.configure(cache_dir=tmp_path / "c", cache_size="5G", max_connections=3, wait=90,
                       force=True, min_free="10%")  # fmt: skip
    config = session.default_session().config

    assert (config.cache_dir, config.cache_size) == (tmp_path / "c", 5 * 2**30)
    assert (config.max_connections, config.wait_s, config.force) == (3, 90, True)
    assert config.min_free == pytest.approx(0.1)


def test_what_is_not_named_stays_and_none_takes_back() -> None:
    empiarfs.configure(max_connections=3, limit_rate="10M")
    empiarfs.configure(max_connections=None)
    config = session.default_session().config

    assert (config.max_connections, config.limit_rate) == (12, 10 * 2**20)


def test_a_relative_directory_stays_where_it_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    empiarfs.configure(cache_dir="here")
    monkeypatch.chdir("/")

    assert session.default_session().config.cache_dir == tmp_path / "here"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cache_dri": "/tmp/x"}, "cache_dri is no setting.*cache_dir"),
        ({"cache_size": "much"}, "cache_size='much'"),
        ({"max_connections": 21}, "max_connections=21"),
        ({"allow_other": True}, "allow_other belongs to mounts"),
        ({"archive_url": "ftp//nothing"}, "archive_url"),
    ],
)
def test_a_mistake_is_told_at_once_and_changes_nothing(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        empiarfs.configure(**settings)

    assert session.default_session().settings == ()


@pytest.mark.apache
def test_it_has_the_cache_of_the_commands(archive: Served) -> None:
    with empiarfs.open(STACK) as file:
        file.read()
    empiarfs.close()
    mark = archive.server.mark()
    done = subprocess.run(
        [sys.executable, "-m", "empiarfs", "cat", STACK],
        cwd=CHECKOUT, env=dict(os.environ), capture_output=True, check=True,
    )  # fmt: skip

    assert len(done.stdout) == STACK_SIZE
    assert archive.server.requests_since(mark) == []


@pytest.mark.apache
def test_a_process_that_just_ends_has_kept_what_it_read(archive: Served) -> None:
    script = f"import empiarfs; print(len(empiarfs.open({STACK!r}).read()))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT, env=dict(os.environ),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (f"{STACK_SIZE}\n", "")
    mark = archive.server.mark()
    with empiarfs.open(STACK) as file:
        file.read()

    assert archive.server.requests_since(mark) == []


@pytest.mark.apache
def test_the_machines_budget_bounds_it(archive: Served) -> None:
    empiarfs.configure(max_connections=2)
    mark = archive.server.mark()
    with empiarfs.open(STACK) as file:
        file.read()

    requests = [each for each in archive.server.requests_since(mark) if each.status == 206]
    begins = [(each.begin_us, 1) for each in requests]
    ends = [(each.end_us, -1) for each in requests]
    at_once = peak = 0
    for _, change in sorted(begins + ends):
        at_once += change
        peak = max(peak, at_once)
    assert 1 <= peak <= 2
