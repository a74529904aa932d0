"""What EMPIAR says of its entries: from the store if it is young enough, else asked for.

    asking.py     one entry: when to believe what is stored, and when to ask
    gathering.py  all entries: in batches that can be broken off and gone on with
    sharing.py    all that is known, written to a file and read from others'
    source.py     what is asked

Nothing here prints, and nothing starts a thread: who calls waits.
"""

from empiarfs.entries.asking import Answer, Entries, HowMany
from empiarfs.entries.gathering import Gathered, Progress
from empiarfs.entries.source import EntrySource

__all__ = ["Answer", "Entries", "EntrySource", "Gathered", "HowMany", "Progress"]
