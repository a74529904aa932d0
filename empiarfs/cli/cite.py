"""The command `cite`: how to cite an entry."""

from __future__ import annotations

import click

from empiarfs.cli.helped import Command
from empiarfs.cli.options import asking_options, settings_from


@click.command("cite", cls=Command)
@click.argument("target", metavar="TARGET")
@click.option("--bibtex", "as_bibtex", is_flag=True, help="Print records of BibTeX.")
@click.option("--ris", "as_ris", is_flag=True, help="Print records of RIS.")
@click.option("--offline", is_flag=True, help="Ask nobody; say what is known here.")
@asking_options
def command(
    *,
    target: str,
    as_bibtex: bool,
    as_ris: bool,
    offline: bool,
    verbose: bool,
    quiet: bool,
    **settings: str | None,
) -> int:
    """Cite the entry TARGET, and the papers that it names."""
    from empiarfs.cli.entry_info import Age, known_entry
    from empiarfs.cli.logged import logged
    from empiarfs.cli.targets import entry_named
    from empiarfs.core.entries import citing

    if as_bibtex and as_ris:
        raise click.UsageError("--bibtex and --ris contradict each other")
    config = settings_from(settings)
    number = entry_named(target, config.archive_url)
    with logged(verbose=verbose, quiet=quiet):
        entry = known_entry(config, number, Age(offline=offline), quiet=quiet).known.entry
    if as_bibtex:
        click.echo(citing.bibtex(entry), nl=False)
    elif as_ris:
        click.echo(citing.ris(entry), nl=False)
    else:
        click.echo(citing.citation_line(entry))
        for paper in entry.citations:
            click.echo(citing.paper_line(paper))
    return 0
