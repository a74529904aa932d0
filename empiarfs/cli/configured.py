"""The command `config`: which settings hold here, and where each comes from."""

from __future__ import annotations

import json
import os

import click

from empiarfs.cli.helped import Command
from empiarfs.cli.terminal import in_one_line


@click.command("config", cls=Command)
@click.option("--show-origin", is_flag=True, help="Say where each comes from, and which files "
              "were looked for.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, show_origin: bool, as_json: bool) -> int:
    """Print the settings that hold for a command or a mount without options.

    They come out of configuration files and the environment; what is chosen when it is
    needed, such as the cache's place, and what is empty are shown as "-".
    """
    from empiarfs.config import SETTINGS, as_options, config_files, load

    files = config_files(os.environ)
    loaded = load({}, os.environ, files)
    values = as_options(loaded.config)
    if as_json:
        settings = {
            name: {"value": values.get(name), "origin": loaded.origins[name]} for name in SETTINGS
        }
        found = [{"path": str(path), "exists": path.exists()} for path in files]
        click.echo(json.dumps({"settings": settings, "files": found}, indent=2))
        return 0
    shown = {name: in_one_line(values.get(name) or "-").removesuffix(".0") for name in SETTINGS}
    width, wide = max(map(len, shown)), max(map(len, shown.values()))
    for name, value in shown.items():
        line = f"{name:<{width}}  {value:<{wide}}"
        if show_origin:
            line += f"  {in_one_line(loaded.origins[name])}"
        click.echo(line.rstrip())
    if show_origin:
        for path in files:
            click.echo(f"{'file':<{width}}  {path}{'' if path.exists() else ' (not there)'}")
    return 0
