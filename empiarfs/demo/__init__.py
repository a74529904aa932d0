"""The demo: a small archive on this machine, served, mounted and used.

`archive` makes the files, `server` serves them as EMPIAR's server would, `keeper` is the
process that does both and clears up afterwards, `walkthrough` shows what a user would do.
Everything happens below one temporary directory and on 127.0.0.1.
"""

from __future__ import annotations
