"""XML from outside, read without harm, and looked into by the names of its elements.

A document with a DTD is refused: only there could entities be declared that grow beyond
measure. Names are compared without their namespaces, which have changed over the years.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

from empiarfs.core.entries import tidy
from empiarfs.core.entries.from_json import UnreadableError

Element = ElementTree.Element


def parsed(document: bytes) -> Element:
    """Return the root of a document in UTF-8.

    Raises:
        UnreadableError: It isn't XML, or has a DTD.
    """
    try:
        # As text: no other encoding can hide a DTD from the look below.
        text = document.decode("utf-8-sig")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise UnreadableError("XML with a DTD")
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, UnicodeDecodeError) as exc:
        raise UnreadableError(f"not XML: {exc}") from exc
    return root


def name_of(element: Element) -> str:
    """Return an element's name without its namespace."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def all_of(element: Element | None, *names: str) -> Iterator[Element]:
    """Yield the elements below with one of these names, in their order."""
    if element is not None:
        yield from (each for each in element.iter() if name_of(each) in names)


def first_of(element: Element | None, *names: str) -> Element | None:
    """Return the first element below with one of these names, or None."""
    return next(all_of(element, *names), None)


def text_in(element: Element | None, *, lines: bool = False) -> str:
    """Return an element's own text, tidied; "" for none."""
    return "" if element is None else tidy.text_of(element.text, lines=lines)


def text_of(element: Element | None, name: str, *, lines: bool = False) -> str:
    """Return the text of the first element below with this name; "" for none."""
    return text_in(first_of(element, name), lines=lines)
