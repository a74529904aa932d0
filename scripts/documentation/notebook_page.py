"""A notebook as a page of the website: Markdown, and the pictures in it. Pure.

What a cell printed stands below its code, as text; of what can be shown in several ways, the
picture or else the text is taken.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

_DOWNLOAD = "[Download the notebook]({name})\n"


def page(text: str, name: str) -> tuple[str, dict[str, bytes]]:
    """Return the page of a notebook, and its pictures by the names by which it has them.

    Args:
        text: What is in the file.
        name: Of the file, to be downloaded.
    """
    pictures: dict[str, bytes] = {}
    stem = name.removesuffix(".ipynb")
    parts: list[str] = []
    for cell in json.loads(text)["cells"]:
        source = _joined(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(f"{source}\n")
            continue
        parts.append(_fenced(source, "python"))
        for number, output in enumerate(cell["outputs"], 1):
            for data in _pictures(output):
                picture = f"{stem}-{cell['id']}-{number}.png"
                pictures[picture] = data
                parts.append(f"![what this cell shows]({picture})\n")
            parts += [_fenced(each, "text") for each in _texts(output)]
    # Behind the title.
    parts.insert(1, _DOWNLOAD.format(name=name))
    return "\n".join(parts), pictures


def _pictures(output: Mapping[str, Any]) -> Iterator[bytes]:
    if "image/png" in output.get("data", {}):
        yield base64.b64decode(_joined(output["data"]["image/png"]))


def _texts(output: Mapping[str, Any]) -> Iterator[str]:
    if "text" in output:
        yield _joined(output["text"])
    data = output.get("data", {})
    if "text/plain" in data and "image/png" not in data:
        yield _joined(data["text/plain"])


def _joined(lines: str | list[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```\n"
