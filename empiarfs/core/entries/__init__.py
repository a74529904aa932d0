"""What EMPIAR says of its entries, as typed values; nothing here reads or sends anything.

    values.py     `Entry` and its parts
    tidy.py       texts, numbers and lists of unknown form, made what they should be
    from_json.py  the answers of the REST API
    from_xml.py   the XML files beside the data
    citing.py     BibTeX, RIS and a line to read
    names.py      the ways to write an entry's name

The answers come from outside and are believed in nothing: every field may be absent, null,
of another type, or too long, and an entry with such fields is still an entry. Only an answer
that isn't JSON or XML at all, or speaks of no entry, is refused.

Threading: values only.
"""

from empiarfs.core.entries.values import (
    Citation,
    CrossReferences,
    Entry,
    Fetched,
    Grant,
    ImageSet,
    Person,
)

__all__ = ["Citation", "CrossReferences", "Entry", "Fetched", "Grant", "ImageSet", "Person"]
