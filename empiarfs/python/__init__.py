"""The archive in Python, with and without a mount: files, entries, hints, fsspec.

session.py      the parts of this process: made at first use, ended before a fork
daemon.py       reads by the daemon of a mount, where one stands
file.py         an open file
entry.py        an entry, and which of its files are meant
choosing.py     finds those
local.py        a local path of a file: in a mount, or of a copy
hints.py        what will be read soon
filesystem.py   for fsspec
buffered.py     an open file of it
versioned.py    paths for it that name a version
arrays.py       images as NumPy arrays
mrcs.py         those of MRC files
tiffs.py        those of TIFF and EER files
images.py       both, of which parts are read when they are indexed
lazy.py         those behind xarray and dask
references.py   where the frames of MRC files lie, for readers of zarr
labels.py       what both tell of images: axes, places in Å, where they are from
unpacked.py     what is packed by bzip2 or gzip, unpacked while it is read
particles.py    single images of large stacks
datasets.py     images of many files, for loaders of training data
batches.py      which of them make up an epoch, in which order
tables.py       STAR and mdoc files
previews/       pictures of files and directories
failures.py     what goes wrong, as Python's own exceptions

It is built of the parts that a mount is built of, on the same cache directory, catalog and
connection budget; none of them knows of it.
"""
