"""Pictures of what is in the archive, made from as few bytes as will do.

asking.py     what is to be shown, and the picture of it
finding.py    which files of a directory
views.py      pure: which frames, and which part of each, a picture is made from
sources.py    an opened file: its frames, and where they are; `tiff_source.py` for TIFF and EER
gains.py      the gain reference of a movie
averages.py   pure: from pixels to a picture: average, contrast, power spectrum
panels.py     one file: reads what the view says, and makes the parts of its picture
drawing.py    puts pictures, names and scale bars together, by Pillow

Never is a whole movie read, unless it is small; memory is bounded by what is read of one file,
and by a few frames of it.

Threading: used from one thread; what is needed next is fetched by the session's own.
"""

from empiarfs.python.previews.asking import Preview, preview

__all__ = ["Preview", "preview"]
