"""The configuration: settings, their sources, and what stands behind `-o`.

    values.py         parsers of sizes, times, rates, URLs, paths
    settings.py       the list of settings
    sources.py        `load` puts files, environment and options together
    mount_options.py  sorts the options of mount(8), FUSE and ourselves

Every mistake is a `ConfigError` that names what is wrong, where it stands, and the fix.

Threading: values only.
"""

from empiarfs.config.mount_options import MountOptions, parse_mount_options
from empiarfs.config.settings import (
    DEFAULT_API_URL,
    DEFAULT_ARCHIVE_URL,
    SETTINGS,
    Config,
    Setting,
)
from empiarfs.config.sources import (
    Loaded,
    as_options,
    config_files,
    from_json,
    load,
    to_json,
)
from empiarfs.config.values import parse_rate, parse_size, parse_time, parse_url, size_words

__all__ = [
    "DEFAULT_API_URL",
    "DEFAULT_ARCHIVE_URL",
    "SETTINGS",
    "Config",
    "Loaded",
    "MountOptions",
    "Setting",
    "as_options",
    "config_files",
    "from_json",
    "load",
    "parse_mount_options",
    "parse_rate",
    "parse_size",
    "parse_time",
    "parse_url",
    "size_words",
    "to_json",
]
