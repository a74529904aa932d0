"""Trains for two epochs by PyTorch's loader, by each way of starting its processes.

    python -m tests.support.torch_loader FOLDER SOURCE…

For each way, FOLDER/METHOD.npz has what was read, in its order: the images of all batches, their
labels, the processes that read them, and how many batches each epoch had; and between which times
(in microseconds since 1970) the second epoch was read, once all that the first had fetched was
stored. Each way has a cache of its own in FOLDER. A process of its own, since PyTorch takes
seconds to be imported.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy
import torch.utils.data

import empiarfs
from empiarfs.core.files import RemoteFile
from tests.support.waiting import wait_until

METHODS = ("fork", "spawn", "forkserver")
SIZE, WORKERS = 4, 2


def noted(image: Any) -> dict[str, Any]:
    """Return an image, with the process that read it."""
    return {"image": image, "process": os.getpid()}


def main(folder: Path, sources: list[str]) -> None:
    """Train by each of them."""
    warnings.simplefilter("error")
    # NumPy has threads, though none that matters to a fork.
    warnings.filterwarnings("ignore", "This process", DeprecationWarning)
    torch.multiprocessing.set_forkserver_preload(["torch.utils.data"])
    for method in METHODS:
        empiarfs.configure(cache_dir=str(folder / f"cache-{method}"))
        numpy.savez(folder / f"{method}.npz", **_trained(method, sources))


def _trained(method: str, sources: list[str]) -> dict[str, Any]:
    count = len(empiarfs.ImageDataset(sources))
    dataset = empiarfs.ImageDataset(sources, labels=range(count), transform=noted)
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_sampler=empiarfs.ShuffledBatches(dataset, SIZE, seed=3),
        num_workers=WORKERS,
        persistent_workers=True,
        multiprocessing_context=method,
    )
    first = list(loader)
    wait_until(lambda: all(map(_is_stored, sources)), 60.0, every_s=0.05)
    start_us = time.time_ns() // 1000
    second = list(loader)
    stop_us = time.time_ns() // 1000
    batches = first + second
    return {
        "images": numpy.concatenate([read["image"].numpy() for read, _ in batches]),
        "labels": numpy.concatenate([labels.numpy() for _, labels in batches]),
        "processes": numpy.concatenate([read["process"].numpy() for read, _ in batches]),
        "batches": [len(first), len(second)],
        "second_us": [start_us, stop_us],
    }


def _is_stored(source: str) -> bool:
    """Tell whether all of a file is in the cache."""
    with empiarfs.open(source) as file:
        parts = file.session.live().parts
        parts.store.look_again()
        remote = RemoteFile(parts.client.base_url, file.path, file.version)
        return parts.fetcher.cached_bytes(remote) == file.size


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
