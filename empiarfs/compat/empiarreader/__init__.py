"""EMPIARreader's interface on the files, images and entries of `empiarfs.python`.

    from empiarfs.compat.empiarreader import EmpiarCatalog, EmpiarSource

catalog.py   an entry's image sets by name: `EmpiarCatalog`
source.py    the files in a directory of an entry: `EmpiarSource`
images.py    those that are images: `MrcSource`
stars.py     those that are STAR files: `StarSource`
files.py     what the last two have in common

Arrays, dimensions, coordinates and attributes are those of EMPIARreader 0.0.17, which reads
whole files into memory; here bytes are fetched when they are looked at. intake is neither
needed nor imported, so these are no classes of its. docs/empiarreader.md has all differences.

Threading: objects may be shared by threads; two that ask first may both fetch.
"""

from empiarfs.compat.empiarreader.catalog import EmpiarCatalog
from empiarfs.compat.empiarreader.images import MrcSource
from empiarfs.compat.empiarreader.source import EmpiarSource
from empiarfs.compat.empiarreader.stars import StarSource

__all__ = ["EmpiarCatalog", "EmpiarSource", "MrcSource", "StarSource"]
