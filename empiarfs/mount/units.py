"""The text of systemd units that keep a mount: one for the machine, one for a user. Pure.

Directives that give a service a mount namespace of its own (`ProtectSystem=`, `PrivateTmp=`
and many more) are left out on purpose: the mount would be seen by nobody outside of it. So
is `NoNewPrivileges=`, since a plain user mounts by fusermount3, which has root's rights.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

SYSTEM_POINT = "/empiar"
SERVICE_USER = "empiarfs"
# The watchdog's time: the mount is asked three times in it, and may take half of it for an
# answer; a disk or a machine that is busy mustn't cost the mount.
_WATCHDOG = "3min"

_PLAIN = re.compile(r"[A-Za-z0-9_@.,/:=+-]+")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")

_SYSTEM = """\
# EMPIAR for all users of this machine; written by `empiarfs systemd-unit --system`.
# It belongs to /etc/systemd/system/empiarfs.service.

[Unit]
Description=EMPIAR, mounted on {shown_point}
# It starts without a network, too: what is cached is served then.
After=network.target nss-lookup.target
StartLimitIntervalSec=0

[Service]
Type=notify
User={user}
# As root; fails where a dead mount lies, which the next line removes.
ExecStartPre=-+{install} -d -o {user} {point}
ExecStart={program} mount --foreground --quiet -o {options} {point}
# Nothing is left to be done after a clean end.
ExecStopPost=-{fusermount} -u -z -q {point}
Restart=on-failure
RestartSec=5
WatchdogSec={watchdog}
TimeoutStartSec=2min
TimeoutStopSec=1min
KillMode=mixed
OOMPolicy=continue
# /var/cache/empiarfs, /var/lib/empiarfs and /run/{runtime}.
CacheDirectory=empiarfs
CacheDirectoryMode=0700
StateDirectory=empiarfs
StateDirectoryMode=0700
RuntimeDirectory={runtime}
RuntimeDirectoryMode=0700
Environment=XDG_STATE_HOME=%S

[Install]
WantedBy=multi-user.target
"""

_USERS = """\
# EMPIAR for one user; written by `empiarfs systemd-unit --user`.
# It belongs to ~/.config/systemd/user/empiarfs.service.

[Unit]
Description=EMPIAR, mounted on {shown_point}
StartLimitIntervalSec=0

[Service]
Type=notify
# Fails where a dead mount lies, which the next line removes.
ExecStartPre=-{mkdir} -p {point}
ExecStart={program} mount --foreground --quiet {options}{point}
# Nothing is left to be done after a clean end.
ExecStopPost=-{fusermount} -u -z -q {point}
Restart=on-failure
RestartSec=5
WatchdogSec={watchdog}
TimeoutStartSec=2min
TimeoutStopSec=1min
KillMode=mixed
OOMPolicy=continue

[Install]
WantedBy=default.target
"""


@dataclass(frozen=True, slots=True)
class Tools:
    """Absolute paths of the programs that a unit runs."""

    program: str
    fusermount: str
    install: str
    mkdir: str


def system_unit(
    tools: Tools, point: str, options: Sequence[str], *, user: str, runtime: str
) -> str:
    """Return the unit of a service of the machine.

    Args:
        tools: What it runs.
        point: Absolute path of the mount point.
        options: What stands behind `-o` beside `allow_other`.
        user: Who mounts.
        runtime: Name of its directory below /run.
    """
    return _SYSTEM.format(
        **_common(tools, point),
        options=quoted(",".join(("allow_other", *map(_escaped, options)))),
        install=quoted(tools.install),
        user=user,
        runtime=runtime,
    )


def user_unit(tools: Tools, point: str, options: Sequence[str]) -> str:
    """Return the unit of a service of one user; arguments as of `system_unit`."""
    words = f"-o {quoted(','.join(map(_escaped, options)))} " if options else ""
    return _USERS.format(**_common(tools, point), options=words, mkdir=quoted(tools.mkdir))


def is_user_name(text: str) -> bool:
    """Tell whether it can be the name of a service's user.

    >>> is_user_name("empiarfs"), is_user_name("a b"), is_user_name("0")
    (True, False, False)
    """
    return _USER.fullmatch(text) is not None


def _common(tools: Tools, point: str) -> dict[str, str]:
    return {
        "program": quoted(tools.program),
        "fusermount": quoted(tools.fusermount),
        "point": quoted(point),
        "shown_point": point.replace("%", "%%"),
        "watchdog": _WATCHDOG,
    }


def _escaped(option: str) -> str:
    r"""Return an option as it stands behind `-o`, where commas separate.

    >>> _escaped("cache_dir=/a,b")
    'cache_dir=/a\\,b'
    """
    return option.replace("\\", "\\\\").replace(",", "\\,")


def quoted(word: str) -> str:
    r"""Return a word as it stands in a command of a unit (systemd.service(5)).

    >>> print(quoted("/mnt/empiar"), quoted("/100 % of $it"))
    /mnt/empiar "/100 %% of $$it"
    """
    if _PLAIN.fullmatch(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("%", "%%").replace("$", "$$") + '"'
