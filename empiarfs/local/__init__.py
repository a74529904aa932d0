"""Local copies below the archive: files that a lab has already are read from there.

`LocalFirst` stands in front of the fetcher and is asked as the fetcher is. A file of which
there is a local copy that fits is read from it, without a request; any other, and whatever of
a copy can't be read, comes by the fetcher. Names, sizes and times are the archive's alone.

A copy fits if its name, its layout (`empiarfs.core.layouts`) and its exact size do, if nobody
has written to it for a minute, and if it has no holes; with `local_verify` only what was
compared with the archive's bytes is handed out.

Modules: `opening` (a regular file below a directory, and nothing else), `disk` (calls that
may hang), `copies` (what there is in one directory), `refusals` (what isn't used, and why),
`comparing` (which bytes are known to be equal), `record` (what was found equal before),
`table` (what is open, and what is known of the rest), `first` (`LocalFirst`).
"""

from __future__ import annotations

from empiarfs.local.first import LocalConfig, LocalFirst

__all__ = ["LocalConfig", "LocalFirst"]
