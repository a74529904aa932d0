"""Options that mean the same in every command, and the settings as options."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from empiarfs.config import SETTINGS, Config, config_files, load

_Function = TypeVar("_Function", bound=Callable[..., Any])

# What a command can be told that mounts nothing; the rest belongs to the cache directory, or
# to mounts.
_READING = ("archive_url", "cache_dir", "max_connections", "limit_rate", "wait")
_ASKING = ("archive_url", "api_url", "cache_dir", "max_connections", "limit_rate")


def verbosity(function: _Function) -> _Function:
    """Add `-v` and `-q`."""
    quiet = click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
    verbose = click.option("-v", "--verbose", is_flag=True, help="Say more.")
    return verbose(quiet(function))


def setting_options(*names: str) -> Callable[[_Function], _Function]:
    """Return a decorator that adds the options of these settings, by their names."""

    def decorate(function: _Function) -> _Function:
        for name in reversed(names):
            setting = SETTINGS[name]
            add = click.option(
                setting.argument,
                name,
                metavar=setting.metavar,
                help=setting.meaning,
                multiple=setting.repeats,
                callback=_joined if setting.repeats else None,
            )
            function = add(function)
        return function

    return decorate


def _joined(
    context: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> str | None:
    """Return what was given several times as one text."""
    return ":".join(given) or None


def local_options(function: _Function) -> _Function:
    """Add what says where local copies are."""
    return setting_options("local", "local_verify")(function)


def reading_options(function: _Function) -> _Function:
    """Add what every command has that reads the archive without a mount."""
    return setting_options(*_READING)(verbosity(function))


def asking_options(function: _Function) -> _Function:
    """Add what every command has that says something of entries."""
    return setting_options(*_ASKING)(verbosity(function))


def information_options(function: _Function) -> _Function:
    """Add what `info` has, which is for files and entries."""
    return setting_options(*dict.fromkeys((*_ASKING, *_READING)))(verbosity(function))


def settings_from(given: Mapping[str, str | None]) -> Config:
    """Return the settings of a command, of which `given` are its options.

    Raises:
        ConfigError: Something is misspelt or can't be.
    """
    arguments = {name: text for name, text in given.items() if text is not None}
    return load({}, os.environ, config_files(os.environ), arguments=arguments).config


def form_options(function: _Function) -> _Function:
    """Add the forms in which names are printed."""
    for option in reversed(
        (
            click.option("-l", "long", is_flag=True, help="With exact size and time (UTC)."),
            click.option("--json", "as_json", is_flag=True, help="Print JSON."),
            click.option("-0", "--null", is_flag=True, help="End each name by a NUL byte."),
            click.option("--url", is_flag=True, help="Print URLs."),
            click.option("--ftp-url", is_flag=True, help="Print URLs for FTP."),
        )
    ):
        function = option(function)
    return function


def order_options(*, default: str) -> Callable[[_Function], _Function]:
    """Return a decorator that adds `--sort` and `--reverse`."""

    def decorate(function: _Function) -> _Function:
        sort = click.option(
            "--sort",
            type=click.Choice(("name", "size", "time", "none")),
            default=default,
            show_default=True,
            help="Smallest and oldest first; none: as the archive lists it.",
        )
        reverse = click.option("-r", "--reverse", is_flag=True, help="Sort the other way round.")
        return sort(reverse(function))

    return decorate
