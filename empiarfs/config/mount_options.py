r"""What stands behind `-o`: ours, mount(8)'s, FUSE's, or a mistake. Pure.

Options are separated by commas; a comma in a value is written `\,`, or the value is put in
double quotes as in fstab. mount(8) hands a file system's program everything in fstab but
what it can do itself, and adds to it: `mount -t fuse.empiarfs` without any option calls us
with `rw,dev,suid`. So those are no mistakes when they come from there, and mean nothing:
the mount is read-only, without devices and set-user-ID programs, whatever they say.
"""

from __future__ import annotations

from dataclasses import dataclass

from empiarfs.config.settings import OPTION_NAMES, SETTINGS
from empiarfs.config.values import nearest
from empiarfs.errors import ConfigError

# ruff: noqa: SIM905 - these are easier to read as words than as a list of 45 lines
# What mount(8), systemd and fstab know, and what no read-only FUSE mount can do differently.
_IGNORED = frozenset(
    """
    ro defaults auto noauto user nouser users owner group _netdev _rnetdev nofail
    dev nodev suid nosuid exec atime noatime diratime nodiratime relatime norelatime
    strictatime nostrictatime lazytime nolazytime sync async dirsync iversion noiversion
    mand nomand silent loud nosymfollow symfollow comment helper uhelper
    default_permissions nonempty
    """.split()
)
_IGNORED_PREFIXES = ("x-", "X-")
_PASSED = frozenset(
    "noexec fsname subtype auto_unmount context fscontext defcontext rootcontext".split()
)
# On these depend the bytes that a reader sees, and the mount's health.
_DECIDED_HERE = frozenset(
    """
    kernel_cache auto_cache direct_io attr_timeout entry_timeout negative_timeout
    ac_attr_timeout use_ino readdir_ino max_read noforget remember
    max_background congestion_threshold max_threads max_idle_threads clone_fd big_writes
    """.split()
)


@dataclass(frozen=True, slots=True)
class MountOptions:
    """The options of one `-o`, sorted by whose they are.

    Attributes:
        settings: Ours, as text by name; "" for one without a value.
        fuse: Those to be handed on to FUSE; "" for one without a value.
        ignored: Those without effect, as written.
    """

    settings: dict[str, str]
    fuse: dict[str, str]
    ignored: tuple[str, ...]


def parse_mount_options(text: str, *, from_mount: bool = False) -> MountOptions:
    """Sort the options in `text`; of one given twice the last counts, or both if it repeats.

    Args:
        text: What stands behind `-o`; several are joined by commas.
        from_mount: They come from mount(8), which writes `rw` by itself.

    Raises:
        ConfigError: An option is unknown, or asks for what can't be.
    """
    settings: dict[str, str] = {}
    fuse: dict[str, str] = {}
    ignored: list[str] = []
    for option in split_options(text):
        name, _, value = option.partition("=")
        if name in OPTION_NAMES:
            before = settings.get(name) if SETTINGS[name].repeats else None
            settings[name] = value if before is None else f"{before}:{value}"
        elif name in _PASSED:
            fuse[name] = value
        elif _is_ignored(name) or (from_mount and name == "rw"):
            ignored.append(option)
        else:
            raise ConfigError(_problem(name))
    return MountOptions(settings, fuse, tuple(ignored))


def split_options(text: str) -> list[str]:
    r"""Split at the commas that are neither escaped nor in quotes; empty ones are left out.

    >>> split_options(r'ro,cache_dir=/a\,b,log_file="/c,d"')
    ['ro', 'cache_dir=/a,b', 'log_file=/c,d']

    Raises:
        ConfigError: A quote isn't closed, or nothing follows a backslash.
    """
    options, current, quoted = [], "", False
    characters = iter(text)
    for character in characters:
        if character == "\\":
            following = next(characters, None)
            if following is None:
                raise ConfigError(f"-o {text}: nothing follows the last backslash")
            # Only what has a meaning here needs a backslash; before the rest it is itself.
            current += following if following in ',\\"' else character + following
        elif character == '"' and (quoted or current.endswith("=")):
            quoted = not quoted
        elif character == "," and not quoted:
            options.append(current)
            current = ""
        else:
            current += character
    if quoted:
        raise ConfigError(f"-o {text}: a quote (\") isn't closed")
    options.append(current)
    return [option for option in options if option]


def _is_ignored(name: str) -> bool:
    return name in _IGNORED or name.startswith(_IGNORED_PREFIXES)


def _problem(name: str) -> str:
    if name == "rw":
        return "-o rw: the archive can't be written; leave it out, or write ro"
    if name == "remount":
        return "-o remount: a mount can't be changed; unmount it by umount, and mount it again"
    if name in _DECIDED_HERE:
        return f"-o {name}: empiarfs decides this itself; leave it out"
    known = {*OPTION_NAMES, *_PASSED, *_IGNORED}
    return f"-o {name}: there is no such option{nearest(name, known)}"
