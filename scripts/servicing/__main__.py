"""Serves a small archive, prints its URL, and ends with its standard input.

python -m scripts.servicing
"""

from __future__ import annotations

import sys

from tests.support import science, tree
from tests.support.apache import ApacheServer


def main() -> None:
    """Serve until nobody writes to us any more."""
    with tree.temporary_root() as root:
        science.make_samples(root)
        tree.write_file(root / "10017/data/gain.mrc", b"gain" * 1000)
        tree.set_times(root)
        with ApacheServer(root) as server:
            print(server.url, flush=True)
            sys.stdin.read()


if __name__ == "__main__":
    main()
