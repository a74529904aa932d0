"""What `info` prints of a file, for people: one function for each format.

An MRC header is laid out as IMOD's program `header` lays it out, which people know.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from empiarfs.cli.output import utc
from empiarfs.cli.terminal import amount, in_one_line
from empiarfs.formats.hdf5 import Hdf5File
from empiarfs.formats.mdoc import MdocFile
from empiarfs.formats.mrc import MrcHeader
from empiarfs.formats.star import StarFile
from empiarfs.formats.tiff import Image, TiffFile

if TYPE_CHECKING:
    from empiarfs.cli.file_info import FileInfo

_WIDTH = 12
_MOST_SHOWN = 60
_LONGEST_SHOWN = 200
_DOTTED = 40


def lines_of(info: FileInfo, *, verbose: bool) -> Iterator[str]:
    """Yield the lines that tell of a file; each is safe to print."""
    yield _line("file", info.target)
    exact = "" if info.size < 1000 else f"  ({amount(info.size)})"
    yield _line("size", f"{info.size} bytes{exact}")
    yield _line("changed", f"{utc(info.modified_s)} UTC" if info.modified_s else "-")
    yield _line("URL", info.url)
    if verbose:
        yield _line("validator", info.validator or "-")
    share = f" ({100 * info.cached // info.size} %)" if info.size else ""
    yield _line("cached", f"{info.cached} bytes{share}")
    yield _line("format", info.contents.kind)
    if info.contents.problem:
        yield _line("problem", info.contents.problem)
    details = info.contents.details
    if isinstance(details, MrcHeader):
        yield from _mrc(details)
    elif isinstance(details, TiffFile):
        yield from _tiff(details)
    elif isinstance(details, StarFile):
        yield from _star(details)
    elif isinstance(details, MdocFile):
        yield from _mdoc(details)
    elif isinstance(details, Hdf5File):
        yield from _hdf5(details)
    if verbose:
        yield _line("read", f"{info.bytes_read} bytes to find that out")


def _line(name: str, text: str) -> str:
    return f"{name + ':':<{_WIDTH}}{in_one_line(text)}"


def _problems(problems: tuple[str, ...]) -> Iterator[str]:
    for problem in problems:
        yield _line("problem", problem)


def _mrc(header: MrcHeader) -> Iterator[str]:
    def row(title: str, text: str) -> str:
        return f" {title + ' ':.<{_DOTTED}} {text}"

    def real(numbers: tuple[float | None, ...]) -> str:
        return "".join(f"{'unknown' if n is None else format(n, '.4g'):>11}" for n in numbers)

    def whole(numbers: tuple[int, ...]) -> str:
        return "".join(f"{number:>7}" for number in numbers)

    size = (header.columns, header.rows, header.sections)
    yield ""
    yield row("Number of columns, rows, sections", whole(size))
    yield row("Map mode", f"{header.mode:>7}   ({header.mode_name})")
    yield row("Start cols, rows, sects, grid x,y,z", whole((*header.start, *header.grid)))
    yield row("Pixel spacing (Angstroms)", real(header.pixel_size))
    yield row("Cell angles", real(header.angles))
    yield row("Fast, medium, slow axes", "".join(f"{axis:>7}" for axis in header.axes))
    yield row("Origin on x,y,z", real(header.origin))
    for title, density in zip(
        ("Minimum density", "Maximum density", "Mean density", "RMS deviation from mean"),
        header.density,
        strict=True,
    ):
        yield row(title, f"{density:>11.5g}")
    kind = f"   {in_one_line(header.extended_type)}" if header.extended_type else ""
    yield row("Space group", whole((header.space_group,)))
    yield row("Extended header, bytes", whole((header.extended_size,)) + kind)
    yield row("Byte order", f"  {header.byte_order}")
    yield f" {len(header.labels)} titles:" if header.labels else " no titles"
    for label in header.labels:
        yield f"  {in_one_line(label)}"
    yield from _problems(header.problems)


def _tiff(tiff: TiffFile) -> Iterator[str]:
    yield _line("frames", str(tiff.frames))
    for image, frames in tiff.images[:_MOST_SHOWN]:
        count = f"{frames} × " if len(tiff.images) > 1 else ""
        yield _line("image", count + _image(image))
    yield _line("byte order", tiff.byte_order)
    for name, text in (("description", tiff.description), ("software", tiff.software)):
        if text:
            yield _line(name, _short(text))
    for name, text in list(tiff.metadata.items())[:_MOST_SHOWN]:
        yield f"  {in_one_line(name)} = {in_one_line(_short(text))}"
    yield from _problems(tiff.problems)


def _image(image: Image) -> str:
    samples = f", {image.samples} samples" if image.samples != 1 else ""
    return (
        f"{image.width} × {image.length} pixels, {image.bits} bits {image.kind}{samples}, "
        f"compression {image.compression}"
    )


def _star(star: StarFile) -> Iterator[str]:
    more = "" if star.is_complete else " or more: the file is too long to be read whole"
    yield _line("blocks", f"{len(star.blocks)}{more}")
    for block in star.blocks[:_MOST_SHOWN]:
        yield f"  data_{in_one_line(block.name)}: {block.rows} × {len(block.columns)}"
        for name in block.columns[:_MOST_SHOWN]:
            yield f"    {in_one_line(name)}"
        if len(block.columns) > _MOST_SHOWN:
            yield f"    and {len(block.columns) - _MOST_SHOWN} more"
    if len(star.blocks) > _MOST_SHOWN:
        yield f"  and {len(star.blocks) - _MOST_SHOWN} more"


def _mdoc(mdoc: MdocFile) -> Iterator[str]:
    more = "" if mdoc.is_complete else " or more: the file is too long to be read whole"
    yield _line("images", f"{mdoc.sections}{more}")
    if mdoc.tilt_angles is not None:
        low, high = mdoc.tilt_angles
        yield _line("tilt", f"{low:g}° to {high:g}°")
    for name, text in list(mdoc.values.items())[:_MOST_SHOWN]:
        yield f"  {in_one_line(name)} = {in_one_line(_short(text))}"
    for title in mdoc.titles[:_MOST_SHOWN]:
        yield _line("title", _short(title))
    if mdoc.section_keys:
        yield _line("of each", ", ".join(mdoc.section_keys))


def _hdf5(hdf5: Hdf5File) -> Iterator[str]:
    yield _line("superblock", f"version {hdf5.version}, at {hdf5.offset}")
    yield from _problems(hdf5.problems)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
