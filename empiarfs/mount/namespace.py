"""A mount namespace of one's own: what is mounted in it nobody else sees, and it ends with us.

A plain user gets one together with a user namespace, in which he keeps his own number and has
the right to mount (CAP_SYS_ADMIN). That right is passed on to programs that are started
(as an *ambient* capability, capabilities(7)), so that libfuse mounts by mount(2) itself:
neither fusermount3 nor root is needed. `give_up_rights` takes it from a program again.

Threading: for a process with one thread, which is what the kernel asks for.
"""

from __future__ import annotations

import ctypes
import errno
import os

from empiarfs.errors import MountError

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000  # unshare(2)
_RECURSIVE, _SLAVE, _DETACH = 0x4000, 1 << 19, 2  # mount(2), umount2(2)
_AMBIENT, _AMBIENT_RAISE, _AMBIENT_CLEAR = 47, 2, 4  # prctl(2)
_DEATH_SIGNAL = 1
_SYS_ADMIN = 21
_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Rights(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def may_mount() -> bool:
    """Tell whether this process may call mount(2), in its namespace."""
    _, rights = _rights()
    return bool(rights[0].effective >> _SYS_ADMIN & 1)


def enter() -> None:
    """Move into a mount namespace of our own; programs started from now on may mount in it.

    Raises:
        MountError: This machine doesn't let us.
    """
    is_root = os.geteuid() == 0 and may_mount()
    user, group = os.geteuid(), os.getegid()
    try:
        _call("unshare", _NEW_MOUNTS | (0 if is_root else _NEW_USER))
        if not is_root:
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/uid_map", f"{user} {user} 1")
            _write("/proc/self/gid_map", f"{group} {group} 1")
        # What is mounted here mustn't appear outside. What is unmounted outside must go here
        # too: a mount is over only when its last copy is.
        _call("mount", b"none", b"/", None, _RECURSIVE | _SLAVE, None)
        if not is_root:
            _pass_on_right_to_mount()
    except OSError as exc:
        raise MountError(
            f"this machine gives you no namespace to mount in ({exc.strerror})",
            hint="containers often forbid it, Ubuntu does by "
            "kernel.apparmor_restrict_unprivileged_userns=1; `empiarfs mount` needs none, "
            "`empiarfs get` and `empiarfs cat` need no mount at all",
        ) from exc


def give_up_rights() -> None:
    """Let what is executed next have no right to mount; for a child before exec."""
    ctypes.CDLL(None).prctl(_AMBIENT, _AMBIENT_CLEAR, 0, 0, 0)


def end_with_parent(number: int) -> None:
    """Have this process be sent the signal when the process that started it ends."""
    _call("prctl", _DEATH_SIGNAL, number, 0, 0, 0)


def detach(path: str) -> None:
    """Unmount what is mounted at `path`, also from under programs that use it.

    Raises:
        OSError: It can't be; nothing is mounted there, for example.
    """
    _call("umount2", os.fsencode(path), _DETACH)


def _pass_on_right_to_mount() -> None:
    header, rights = _rights()
    rights[0].inheritable |= 1 << _SYS_ADMIN
    _call("capset", ctypes.byref(header), rights)
    _call("prctl", _AMBIENT, _AMBIENT_RAISE, _SYS_ADMIN, 0, 0)


def _rights() -> tuple[_Header, ctypes.Array[_Rights]]:
    header, rights = _Header(_VERSION_3, 0), (_Rights * 2)()
    _call("capget", ctypes.byref(header), rights)
    return header, rights


def _call(name: str, *arguments: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    function = getattr(library, name, None)
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _write(path: str, text: str) -> None:
    # By one write, as the kernel wants it.
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode("ascii"))
    finally:
        os.close(descriptor)
