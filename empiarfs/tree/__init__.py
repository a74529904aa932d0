"""What the archive's directories hold: from memory, from the catalog, else by HTTP.

`Tree` decides when what is known may be believed and when the archive has to be asked; it
knows nothing of handles, bytes or FUSE.

Modules: `directory` (one directory in memory), `merging` (an old and a new listing),
`listings` (all directories), `versions` (sizes), `asking` (the `Tree`), `single_flight` (one
question however many ask it).
"""

from __future__ import annotations

from empiarfs.tree.asking import Node, Tree, TreeConfig
from empiarfs.tree.directory import Directory
from empiarfs.tree.listings import ListingConfig, Listings

__all__ = ["Directory", "ListingConfig", "Listings", "Node", "Tree", "TreeConfig"]
