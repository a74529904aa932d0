from empiarfs.python.arrays import imread as imread
from empiarfs.python.batches import ShuffledBatches as ShuffledBatches
from empiarfs.python.datasets import ImageDataset as ImageDataset
from empiarfs.python.entry import ArchiveEntry as ArchiveEntry
from empiarfs.python.entry import Files as Files
from empiarfs.python.entry import entry as entry
from empiarfs.python.file import ArchiveFile as ArchiveFile
from empiarfs.python.file import open as open  # noqa: A004 # as gzip has one
from empiarfs.python.hints import prefetch as prefetch
from empiarfs.python.lazy import lazy as lazy
from empiarfs.python.local import path as path
from empiarfs.python.particles import Particles as Particles
from empiarfs.python.particles import particles as particles
from empiarfs.python.previews import Preview as Preview
from empiarfs.python.previews import preview as preview
from empiarfs.python.references import references as references
from empiarfs.python.searching import Found as Found
from empiarfs.python.searching import SearchResult as SearchResult
from empiarfs.python.searching import search as search
from empiarfs.python.session import close as close
from empiarfs.python.session import configure as configure
from empiarfs.python.tables import read_mdoc as read_mdoc
from empiarfs.python.tables import read_star as read_star
from empiarfs.python.unpacked import UnpackedFile as UnpackedFile
from empiarfs.python.unpacked import unpack as unpack

__version__: str
__all__: list[str]
