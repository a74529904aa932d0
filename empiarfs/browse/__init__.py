"""What commands without a mount need of the archive's names: looking around, and more.

    browser.py      looking around: names, directories, many exact sizes
    indexing.py     learning a whole tree, many directories at a time
    comparing.py    what has changed since
    tables.py       what is known of a tree as a table, and back
    table_files.py  such tables in files

What asks the archive asks the tree (`empiarfs.tree`), so that what it learns is in the catalog
for all mounts and commands.
"""

from empiarfs.browse.browser import Browser, Exact, Item

__all__ = ["Browser", "Exact", "Item"]
