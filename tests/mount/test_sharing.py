"""Several mounts at once: one cache for all, and one budget of connections."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.mount.conftest import Served
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.connections import most_connections_to
from tests.support.mounts import mounted

pytestmark = [pytest.mark.fuse, pytest.mark.apache]

NAME = "10028/data/sizes/10433536"
DEFAULT_BUDGET = 12
# Each answer at most so many KiB a second, so that connections are in use for a while.
SLOW = """\
LoadModule env_module /usr/lib/apache2/modules/mod_env.so
LoadModule ratelimit_module /usr/lib/apache2/modules/mod_ratelimit.so
<LocationMatch "\\.tif$">
  SetOutputFilter RATE_LIMIT
  SetEnv rate-limit 400
</LocationMatch>
"""


def test_a_second_mount_on_the_same_cache_asks_for_nothing_again(
    served: Served, tmp_path: Path
) -> None:
    with mounted(served.server.url, cache_dir=tmp_path / "cache") as first:
        expected = (first.path / NAME).read_bytes()
        first.remount()  # so that everything has been stored
        mark = served.server.mark()
        with mounted(served.server.url, cache_dir=tmp_path / "cache") as second:
            assert (second.path / NAME).read_bytes() == expected

        assert served.server.requests_since(mark) == []


def test_two_mounts_use_one_cache_at_the_same_time(served: Served, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with (
        mounted(served.server.url, cache_dir=cache) as first,
        mounted(served.server.url, cache_dir=cache) as second,
        ThreadPoolExecutor(2) as pool,
    ):
        compared = pool.map(
            lambda mount: tree.differences(served.root, mount.path), (first, second)
        )
        assert list(compared) == [[], []]


@pytest.mark.slow
def test_mounts_share_one_budget_of_connections(root: Path) -> None:
    size = 400_000
    tree.make_many(root / "10511/data", 24, size=size)
    tree.set_times(root)
    with ApacheServer(root, extra_config=SLOW) as server:
        with mounted(server.url) as first, mounted(server.url) as second:
            paths = [mount.path / "10511/data" for mount in (first, second)]
            names = sorted(os.listdir(paths[0]))
            with most_connections_to(server.port) as peak, ThreadPoolExecutor(48) as pool:
                read = list(pool.map(lambda path: path.read_bytes(), files(paths, names)))
        assert read == [(root / "10511/data" / name).read_bytes() for name in names * 2]

    assert 4 <= peak[0] <= DEFAULT_BUDGET


def files(directories: list[Path], names: list[str]) -> list[Path]:
    return [directory / name for directory in directories for name in names]
