"""Who reads images in Python: empiarfs, and the libraries that it is compared with.

    empiarreader    with its defaults, in an interpreter of its own: whole files, one connection
    fsspec          its HTTP file system with its defaults: an open file, `seek` and `read`
    fsspec-ranges   `cat_ranges` with twelve requests at once, and a limit of 12 s for one that
                    is silent; what fails is asked for again

Each work is a process (`library_readers`) with a cache of its own, and no mount.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.benchmarks.clients import EMPIARFS, Client
from scripts.benchmarks.far import GivenUpError
from scripts.benchmarks.stage import SkippedError, Stage

# Where scripts/bench puts EMPIARreader, which wants other packages than we do.
_THEIR_PYTHON = Path(sys.prefix) / "empiarreader" / "bin" / "python"
_CHECKOUT = Path(__file__).resolve().parents[2]


def _mounts_nothing(point: Path, url: str, cache: Path, log: Path) -> list[str]:
    raise RuntimeError("a library mounts nothing")


def _library(name: str, *packages: str) -> Client:
    def version() -> str:
        told = "import importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in %r))"
        if not Path(interpreter_of(name)).exists():
            return "not installed"
        words = [interpreter_of(name), "-c", told % (packages,)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.strip()

    return Client(name, _mounts_nothing, version, lambda cache: True)


def interpreter_of(name: str) -> str:
    """Return the interpreter that has a library; EMPIARREADER_PYTHON may name EMPIARreader's."""
    if name != EMPIARREADER_NAME:
        return sys.executable
    return os.environ.get("EMPIARREADER_PYTHON") or str(_THEIR_PYTHON)


EMPIARREADER_NAME = "empiarreader"
LIBRARIES = {
    EMPIARFS.name: EMPIARFS,
    EMPIARREADER_NAME: _library(EMPIARREADER_NAME, "empiarreader", "xarray"),
    "fsspec": _library("fsspec", "fsspec", "aiohttp"),
    "fsspec-ranges": _library("fsspec-ranges", "fsspec", "aiohttp"),
}


class Desk:
    """Where one library reads: a home and a cache; see `new_desk`."""

    def __init__(self, stage: Stage, home: Path) -> None:
        self._stage = stage
        self._home = home

    def run(self, work: str, arguments: Mapping[str, object], *, url: str = "") -> Any:
        """Run the program for some work by the stage's library, and return what it says.

        Raises:
            GivenUpError: It took too long, and was killed.
            RuntimeError: It failed.
            SkippedError: The library isn't here.
        """
        name, url = self._stage.client.name, url or self._stage.way.url
        place = {} if name == EMPIARFS.name else {"url": url}
        return self._answer(name, f"{work}.{name}", url, {**place, **arguments})

    def imported(self, module: str) -> Any:
        """Have a module of the stage's library imported; see `library_readers`."""
        name, url = self._stage.client.name, self._stage.way.url
        return self._answer(name, "import", url, {"module": module})

    def _answer(self, name: str, program: str, url: str, arguments: Mapping[str, object]) -> Any:
        if not Path(interpreter_of(name)).exists():
            raise SkippedError("it isn't installed")
        module = "scripts.benchmarks.library_readers"
        words = [interpreter_of(name), "-W", "ignore", "-m", module, program]
        process = subprocess.Popen(
            [*words, json.dumps(arguments)],
            cwd=_CHECKOUT,
            env=self._environment(url),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            output, errors = process.communicate(timeout=self._stage.limit_s)
        except subprocess.TimeoutExpired:
            raise GivenUpError from None
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        if process.returncode != 0:
            said = errors.decode(errors="replace").strip()[-1000:]
            raise RuntimeError(f"{program}: status {process.returncode}: {said}")
        return json.loads(output)

    def _environment(self, url: str) -> dict[str, str]:
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(self._home),
            "TMPDIR": tempfile.gettempdir(),
            "EMPIARFS_ARCHIVE_URL": url,
            "EMPIARFS_API_URL": f"{url}api/",
            "EMPIARFS_CACHE_DIR": str(self._home / "cache"),
            "EMPIARFS_CACHE_SIZE": "10G",
            "EMPIARFS_DAEMON": "no",
            **self._stage.way.environment,
        }


@contextmanager
def new_desk(stage: Stage) -> Iterator[Desk]:
    """Yield a desk with an empty cache; its files are removed at the end."""
    with tempfile.TemporaryDirectory(prefix="empiarfs-bench-") as home:
        yield Desk(stage, Path(home))
