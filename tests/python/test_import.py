"""To import empiarfs costs nothing, and nothing runs before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

import empiarfs
from tests.support.users import CHECKOUT

HEAVY = ("requests", "urllib3", "diskcache", "sqlite3", "numpy", "mrcfile", "click", "rich",
         "mfusepy", "ssl", "socket", "threading", "dataclasses", "fsspec")  # fmt: skip


def run(script: str) -> str:
    """Return what a script prints in a process of its own."""
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_import_brings_nothing_heavy() -> None:
    script = f"""
import sys
before = set(sys.modules)
import empiarfs
print(sorted((set(sys.modules) - before) & set({HEAVY})))
"""
    assert run(script) == "[]\n"


def test_no_thread_and_no_socket_before_the_first_use() -> None:
    script = """
import os, threading, empiarfs
empiarfs.configure(archive_url="http://127.0.0.1:9/", cache_dir="/nowhere/at/all")
entry = empiarfs.entry(10934)
files = entry.files("*.mrc", role="movies").sample(10)
for name in empiarfs.__all__:
    getattr(empiarfs, name)
links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if int(fd) > 2
         and os.path.exists(f"/proc/self/fd/{fd}")]
print(threading.active_count(), [link for link in links if link.startswith("socket:")])
"""
    assert run(script) == "1 []\n"


def test_the_stub_has_every_name() -> None:
    stub = ast.parse((CHECKOUT / "empiarfs" / "__init__.pyi").read_text(encoding="utf-8"))

    imported = {
        alias.asname
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported | {"__version__"} == set(empiarfs.__all__)
    assert set(empiarfs.__all__) <= set(dir(empiarfs))


def test_a_name_that_there_is_not_is_an_attribute_error() -> None:
    name = "no_such_name"

    with pytest.raises(AttributeError, match="no_such_name"):
        getattr(empiarfs, name)
