"""Where settings come from. What stands further right here is stronger.

    defaults < /etc/empiarfs.toml < ~/.config/empiarfs/config.toml < EMPIARFS_* < options

Everything is read once, here; no other module looks at the environment for a setting.

Threading: values only.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from empiarfs.config.settings import PREFIX, SETTINGS, Config, Place, Setting, write_flag
from empiarfs.config.values import join_paths, nearest
from empiarfs.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SYSTEM_FILE = Path("/etc/empiarfs.toml")
_LONGEST_FILE = 1024 * 1024
# Variables that begin like ours and are no settings: which libfuse the tests want.
_OTHER_VARIABLES = frozenset(("EMPIARFS_LIBFUSE",))


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and where each comes from.

    Attributes:
        config: The settings.
        origins: For each name in `SETTINGS` the origin of its value, in words.
    """

    config: Config
    origins: Mapping[str, str]


def config_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the configuration files, the weaker first; they needn't exist."""
    folder = environ.get("XDG_CONFIG_HOME", "")
    # The specification of XDG has a relative path ignored.
    base = Path(folder) if folder.startswith("/") else home_directory(environ) / ".config"
    return (SYSTEM_FILE, base / "empiarfs" / "config.toml")


def home_directory(environ: Mapping[str, str]) -> Path:
    """Return the user's home directory, absolute."""
    home = environ.get("HOME", "")
    return Path(home) if home.startswith("/") else Path("/")


def load(
    options: Mapping[str, str],
    environ: Mapping[str, str],
    files: Iterable[Path],
    *,
    arguments: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Loaded:
    """Return the settings out of all sources, of which the later ones count more.

    Args:
        options: Texts of `-o`, by name; "" for a flag without a value.
        environ: The environment.
        files: Configuration files, the weaker first; missing ones are left out.
        arguments: Texts of the command line's own options, by name; stronger than `-o`.
        cwd: Where relative paths of options and variables start; by default, here.

    Raises:
        ConfigError: Something is misspelt or can't be; the message names it, where it
            stands, and what would be right.
    """
    found: dict[str, object] = {}
    origins = dict.fromkeys(SETTINGS, "default")
    for given in _all_given(options, arguments or {}, environ, files, cwd or _here()):
        try:
            found[given.setting.field] = given.setting.parse(given.text, given.place)
        except ValueError as exc:
            raise ConfigError(f"{given.origin}: {exc}") from exc
        origins[given.setting.name] = given.origin
    nodes = _job_nodes(environ)
    if nodes > 1 and "max_connections" not in found:
        found["max_connections"] = max(1, Config().max_connections // nodes)
        origins["max_connections"] = f"default, divided by the {nodes} nodes of this Slurm job"
    if found.get("allow_other") and found.get("allow_root"):
        both = f"{origins['allow_other']} and {origins['allow_root']}"
        raise ConfigError(f"{both} can't go together; allow_other includes root")
    # mypy can't see that each parser returns what its field holds; a test checks that.
    return Loaded(replace(Config(), **found), origins)  # type: ignore[arg-type]


def as_options(config: Config) -> dict[str, str]:
    """Return the settings that aren't None as texts by name, so that `load` reads them back."""
    present = {
        setting: value
        for setting in SETTINGS.values()
        if (value := getattr(config, setting.field)) is not None
    }
    return {setting.name: setting.write(value) for setting, value in present.items()}


def to_json(config: Config) -> str:
    """Return all settings as JSON, for a process that is to have the same."""
    return json.dumps(as_options(config))


def from_json(text: str) -> Config:
    """Return the settings out of what `to_json` returned.

    Raises:
        ConfigError: It isn't that.
    """
    try:
        options = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"the settings handed over can't be read: {exc}") from exc
    if not isinstance(options, dict) or not all(isinstance(t, str) for t in options.values()):
        raise ConfigError("the settings handed over aren't texts by name")
    return load(options, {}, (), cwd=Path("/")).config


@dataclass(frozen=True, slots=True)
class _Given:
    """A setting's text, and where it stood."""

    setting: Setting
    text: str
    origin: str
    place: Place


def _all_given(
    options: Mapping[str, str],
    arguments: Mapping[str, str],
    environ: Mapping[str, str],
    files: Iterable[Path],
    base: Path | None,
) -> Iterator[_Given]:
    """Yield what all sources say, the weakest first."""
    home = home_directory(environ)
    for file in files:
        for name, text in _read_file(file).items():
            setting = _named(name, f"{file}: {name}")
            # Where a mount is started from must not change what a file means.
            yield _Given(setting, text, f"{name} in {file}", Place(None, home))
    place = Place(base, home)
    for variable, text in environ.items():
        # An empty variable is one that a script couldn't be bothered to unset.
        if variable.startswith(PREFIX) and text and variable not in _OTHER_VARIABLES:
            setting = _named_by_variable(variable)
            yield _Given(setting, text, f"the environment variable {variable}", place)
    for name, text in options.items():
        yield _Given(_named(name, f"-o {name}"), text, f"-o {name}", place)
    for name, text in arguments.items():
        setting = _named(name, f"--{name}")
        yield _Given(setting, text, setting.argument, place)


def _named(name: str, origin: str) -> Setting:
    setting = SETTINGS.get(name)
    if setting is None:
        raise ConfigError(f"{origin}: there is no such setting{nearest(name, SETTINGS)}")
    return setting


def _named_by_variable(variable: str) -> Setting:
    by_variable = {setting.variable: setting for setting in SETTINGS.values()}
    setting = by_variable.get(variable)
    if setting is None:
        hint = nearest(variable, by_variable)
        raise ConfigError(f"{variable} in the environment: there is no such setting{hint}")
    return setting


def _read_file(file: Path) -> dict[str, str]:
    """Return the settings of a configuration file as texts; none if there is no file."""
    try:
        with file.open("rb") as stream:
            content = stream.read(_LONGEST_FILE + 1)
        if len(content) > _LONGEST_FILE:
            raise ConfigError(f"{file}: too long for a configuration file")
        table = tomllib.loads(content.decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as exc:
        raise ConfigError(f"{file} can't be read: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:  # not UTF-8, not TOML, or nested without end
        raise ConfigError(f"{file} is no TOML: {exc}") from exc
    return {name: _text(name, value, f"{name} in {file}") for name, value in table.items()}


def _text(name: str, value: object, origin: str) -> str:
    repeats = name in SETTINGS and SETTINGS[name].repeats
    if repeats and isinstance(value, list) and all(isinstance(each, str) for each in value):
        return join_paths(value)
    if isinstance(value, bool):
        return write_flag(value)
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ConfigError(f"{origin}: a text, a number, true or false is needed, no table or list")


def _job_nodes(environ: Mapping[str, str]) -> int:
    """Return how many machines this Slurm job has; 1 outside of one."""
    text = environ.get("SLURM_JOB_NUM_NODES", "")
    return int(text) if re.fullmatch(r"\d{1,6}", text, re.ASCII) else 1


def _here() -> Path | None:
    """Return the current directory, or None if it has been removed."""
    try:
        return Path.cwd()
    except OSError:
        return None
