"""Lets `python -m empiarfs` do what the console script `empiarfs` does."""

from __future__ import annotations

from empiarfs.cli import main

if __name__ == "__main__":
    main()
