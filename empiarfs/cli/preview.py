"""The command `preview`: pictures of files of the archive, saved as PNG or shown.

Which bytes are read and how pictures are made is the part of `empiarfs.python.previews`. A
picture goes into a file unless it is only to be shown; one that is there isn't overwritten
unless that is wanted.

Threading: used from one thread.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from empiarfs.cli.helped import Command
from empiarfs.cli.options import reading_options
from empiarfs.cli.selecting import role_option

if TYPE_CHECKING:
    from empiarfs.cli.failures import Failures
    from empiarfs.python.previews import Preview
    from empiarfs.python.previews.asking import Order
    from empiarfs.python.session import Session

_STANDARD_OUTPUT = "-"
_SETTINGS = ("archive_url", "cache_dir", "max_connections", "limit_rate", "wait")
_LONGEST_NAME = 200


@click.command("preview", cls=Command)
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@click.option(
    "-o", "--output", metavar="FILE", help="Write it there; - is the standard output. By default "
    "a file in the current directory, called as TARGET is.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
@click.option(
    "--show/--no-show", default=None, help="Show it in the terminal, and write no file unless "
    "-o is given. By default it is shown as well where the terminal can.",
)  # fmt: skip
@click.option(
    "--pixels", type=click.IntRange(32, 8192), metavar="N",
    help="Longest side of a picture: 1024 by default, 256 of each in a sheet.",
)  # fmt: skip
@click.option(
    "--frames", type=click.IntRange(1, 10_000), metavar="N",
    help="Frames of a movie to average: 8 by default, 40 of EER.",
)  # fmt: skip
@click.option(
    "--sample", type=click.IntRange(1, 1000), metavar="N",
    help="Files of a directory by chance, 24 by default; images of a stack, 64.",
)  # fmt: skip
@click.option("--seed", type=click.INT, default=0, metavar="S", help="Which sample; 0 by default.")
@click.option(
    "--bytes", "most", metavar="SIZE",
    help="What may be fetched of a file, about: 64M by default, 4M of each in a sheet.",
)  # fmt: skip
@click.option(
    "--gain", metavar="TARGET",
    help="Gain reference of a movie, or none. By default one beside the movie that fits.",
)  # fmt: skip
@role_option
@reading_options
def command(
    *,
    targets: tuple[str, ...],
    output: str | None,
    overwrite: bool,
    show: bool | None,
    verbose: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """Make a picture of the file TARGET, or one sheet of files of entries and directories.

    Of movies the first frames are averaged, beside their power spectrum; of stacks some images,
    of tomograms central sections are shown. No more is fetched than that takes.
    """
    from empiarfs.cli.failures import Failures
    from empiarfs.cli.graphics import shown
    from empiarfs.cli.logged import logged
    from empiarfs.python import session as sessions

    protocol = _protocol(show, output)
    settings = {name: options.pop(name) for name in _SETTINGS}
    order = _order(options)
    given = {name: text for name, text in settings.items() if text is not None}
    session = sessions.session_of(sessions.with_settings((), given))
    only_shown = (show and output is None) or output == _STANDARD_OUTPUT
    with Failures() as failures, logged(verbose=verbose, quiet=quiet):
        made = None
        try:
            place = None if only_shown else Path(output or _name_of(targets[0], session))
            if place is None or _is_free(place, failures, overwrite=overwrite):
                made = _made(session, targets, order, failures)
        finally:
            sessions.close()
        if made is None:
            return failures.status
        _tell(made, failures, verbose=verbose, quiet=quiet)
        if place is not None:
            _save(made, place, failures, overwrite=overwrite, quiet=quiet)
        sys.stdout.flush()
        if output == _STANDARD_OUTPUT:
            sys.stdout.buffer.write(made.png())
        elif protocol is not None:
            sys.stdout.buffer.write(shown(made.image, protocol))
    return failures.status


def _protocol(show: bool | None, output: str | None) -> str | None:
    """Return how the terminal is shown a picture; None if it isn't to be."""
    from empiarfs.cli.graphics import protocol_here

    if output == _STANDARD_OUTPUT:
        if show:
            raise click.UsageError("--show and -o - don't go together")
        if sys.stdout.isatty():
            raise click.UsageError("-o - is for a pipe or a file; --show is for a terminal")
        return None
    if show is False or (show is None and not sys.stdout.isatty()):
        return None
    protocol = protocol_here()
    if show and protocol is None:
        raise click.UsageError(
            "this terminal isn't known to show pictures (by kitty's protocol, or sixels); "
            "-o FILE writes one"
        )
    return protocol


def _order(options: dict[str, Any]) -> Order:
    """Take what is wanted of a picture out of the options."""
    from empiarfs.config import parse_size
    from empiarfs.core.selectors import Selectors, parse_roles
    from empiarfs.python.previews.asking import Order

    try:
        most = None if options["most"] is None else parse_size(options["most"], least=0)
        means = Selectors(roles=parse_roles(options["roles"]), image_set=options["image_set"])
        return Order(
            pixels=options["pixels"],
            frames=options["frames"],
            sample=options["sample"],
            seed=options["seed"],
            most_bytes=most,
            gain={None: True, "none": False}.get(options["gain"], options["gain"]),
            selectors=means,
        )
    except ValueError as exc:
        raise click.UsageError(str(exc).replace("most_bytes", "--bytes")) from exc


def _name_of(target: str, session: Session) -> str:
    """Return the name of the file that the picture of a target goes into."""
    from empiarfs.core.targets import entry_number
    from empiarfs.python.places import located

    path = located(target, session)[1]
    plain = re.sub(r"[^\w.+=-]+", "_", path, flags=re.ASCII).strip("._-") or "empiar"
    prefix = "EMPIAR-" if entry_number(path) is not None else ""
    return f"{prefix}{plain[:_LONGEST_NAME]}.png"


def _is_free(place: Path, failures: Failures, *, overwrite: bool) -> bool:
    """Tell whether a picture can be written there, as far as that can be seen before."""
    if not place.parent.is_dir():
        failures.say(f"{place}: there is no directory {place.parent}")
    elif place.is_dir():
        failures.say(f"{place} is a directory; -o takes the name of a file")
    elif place.exists() and not overwrite:
        failures.say(f"{place} is there already; --overwrite replaces it, -o names another file")
    else:
        return True
    return False


def _made(
    session: Session, targets: tuple[str, ...], order: Order, failures: Failures
) -> Preview | None:
    """Return the picture; None if there is none, which is told."""
    from empiarfs.errors import EmpiarFSError
    from empiarfs.python.previews.asking import made_preview

    try:
        return made_preview(session, targets, order)
    except OSError as exc:
        name = str(exc.filename or targets[0]) if len(targets) > 1 else targets[0]
        if isinstance(exc.__cause__, EmpiarFSError):
            failures.add(name, exc.__cause__)
        else:
            failures.say(f"{name}: {exc.strerror or exc}")
    except (ValueError, ImportError) as exc:
        failures.say(str(exc))
    return None


def _tell(made: Preview, failures: Failures, *, verbose: bool, quiet: bool) -> None:
    """Say which files aren't shown, and what it took."""
    from empiarfs.cli.failures import note
    from empiarfs.cli.terminal import amount

    for path, why, is_no_image in made.problems:
        if not is_no_image:
            failures.say(f"{path}: {why}")
        elif not quiet:
            note(f"{path}: {why}")
    if verbose:
        # What was read besides, such as a gain reference, may be more than the file has.
        of = f" of {amount(made.size)}" if made.bytes_read < made.size else ""
        note(
            f"read {amount(made.bytes_read)}{of}; "
            f"{amount(made.bytes_fetched)} fetched by this process"
        )


def _save(made: Preview, place: Path, failures: Failures, *, overwrite: bool, quiet: bool) -> None:
    from empiarfs.cli.terminal import in_one_line

    try:
        made.save(place, overwrite=overwrite)
    except OSError as exc:
        failures.say(f"{place}: can't be written: {exc.strerror or exc}")
        return
    if not quiet:
        click.echo(in_one_line(str(place)))
