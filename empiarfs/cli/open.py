"""The command `open`: an entry's page at EMPIAR. Needs no network itself."""

from __future__ import annotations

import click

from empiarfs.cli.helped import Command
from empiarfs.cli.options import settings_from, verbosity


@click.command("open", cls=Command)
@click.argument("target", metavar="TARGET")
@click.option("-p", "--print", "only_print", is_flag=True, help="Only print the address.")
@verbosity
def command(*, target: str, only_print: bool, verbose: bool, quiet: bool) -> int:
    """Open the page of the entry TARGET in a browser, and print its address.

    Where there is no browser, as on a node of a cluster, it is only printed.
    """
    from empiarfs.cli.targets import entry_named
    from empiarfs.core.entries.names import page_url

    config = settings_from({})
    url = page_url(entry_named(target, config.archive_url))
    if not quiet or only_print:
        click.echo(url)
    if not only_print and _has_display():
        click.launch(url)
    return 0


def _has_display() -> bool:
    """Tell whether a browser would be a window: one in this terminal would be in the way."""
    import os

    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
