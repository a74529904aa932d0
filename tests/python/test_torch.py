"""Training data by PyTorch's loader, whose processes are forked, spawned, or from a server."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import mrcfile
import numpy
import pytest

from tests.python.conftest import use
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.training import needs_torch
from tests.support.users import CHECKOUT

pytestmark = [pytest.mark.apache, needs_torch]

METHODS = ("fork", "spawn", "forkserver")
SOURCES = ["10934/data/a.mrcs", "10934/data/b.mrcs", "10028/data/c.mrcs"]
COUNTS = (9, 5, 7)


@dataclass(frozen=True, slots=True)
class Trained:
    """What two epochs were, by each way of starting processes.

    Attributes:
        truth: All images, in the order of the sources.
        read: What was read, by way; see `tests.support.torch_loader`.
        requests: How many the second epoch cost.
    """

    truth: Any
    read: dict[str, dict[str, Any]]
    requests: dict[str, int]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Train, in a process of its own."""
    home = tmp_path_factory.mktemp("torch")
    with tree.temporary_root() as root, pytest.MonkeyPatch.context() as patch:
        random = numpy.random.default_rng(1)
        images = [random.normal(size=(count, 100, 120)).astype("f4") for count in COUNTS]
        for name, data in zip(SOURCES, images, strict=True):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            with mrcfile.new(root / name, data) as file:
                file.set_image_stack()
        tree.set_times(root)
        with ApacheServer(root) as server:
            use(patch, server.url)
            patch.setenv("HOME", str(home))
            patch.setenv("XDG_CONFIG_HOME", str(home / "config"))
            done = subprocess.run(
                [sys.executable, "-m", "tests.support.torch_loader", str(home), *SOURCES],
                cwd=CHECKOUT, env=os.environ, capture_output=True, text=True, check=False,
                timeout=300,
            )  # fmt: skip
            assert (done.returncode, done.stderr) == (0, "")
            read = {method: dict(numpy.load(home / f"{method}.npz")) for method in METHODS}
            began = [each.begin_us for each in server.accesses()]
    requests = {}
    for method in METHODS:
        start_us, stop_us = read[method]["second_us"]
        requests[method] = sum(bool(start_us <= each <= stop_us) for each in began)
    return Trained(numpy.concatenate(images), read, requests)


@pytest.mark.parametrize("method", METHODS)
class TestTwoEpochs:
    """By processes that stay."""

    def test_have_every_image_once_each_in_another_order(
        self, trained: Trained, method: str
    ) -> None:
        read, count = trained.read[method], sum(COUNTS)
        first, second = read["labels"][:count], read["labels"][count:]
        assert read["batches"].tolist() == [6, 6]
        assert sorted(first) == sorted(second) == list(range(count))
        assert first.tolist() != second.tolist()
        assert (read["images"] == trained.truth[read["labels"]]).all()

    def test_are_the_same_however_processes_are_started(
        self, trained: Trained, method: str
    ) -> None:
        assert (trained.read[method]["labels"] == trained.read["fork"]["labels"]).all()

    def test_are_read_by_both_processes(self, trained: Trained, method: str) -> None:
        assert len(set(trained.read[method]["processes"])) == 2

    def test_cost_no_request_the_second_time(self, trained: Trained, method: str) -> None:
        assert trained.requests[method] == 0
