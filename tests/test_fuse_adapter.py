"""The FUSE adapter without a mount: errors, exact reads, attributes, directories, refusals."""

from __future__ import annotations

import errno
import logging
import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from empiarfs import errors
from empiarfs.patience import Patience

try:
    from empiarfs.fuse import AdapterConfig, FuseAdapter, XattrFuseAdapter, errno_for
    from empiarfs.fuse.callers import Caller, is_being_stopped, is_gone
    from empiarfs.fuse.errnos import ERRNO_BY_ERROR
    from empiarfs.fuse.library import mfusepy
    from empiarfs.fuse.session import SessionOptions, session_keywords
    from tests.support.fake_files import FakeFiles
    from tests.support.log_guard import ExpectLog
except OSError as exc:  # mfusepy loads libfuse when it is imported
    pytest.skip(f"no libfuse: {exc}", allow_module_level=True)

CONFIG = AdapterConfig(wait_s=0.05, lookup_s=0.05, uid=12, gid=34)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.mrc").write_bytes(bytes(range(200)))
    os.utime(tmp_path / "data/a.mrc", ns=(0, 1_600_000_000_123_456_789))
    for name in ("short", "bug", "exit", "slow-stat", "slow-read", "empty"):
        (tmp_path / name).write_bytes(b"" if name == "empty" else b"12345")
    return tmp_path


@pytest.fixture
def files(directory: Path) -> FakeFiles:
    return FakeFiles(directory)


def ourselves(ending: Callable[[], bool]) -> Caller:
    # Outside of a request libfuse must not be asked: it would follow a null pointer.
    return Caller(os.getpid(), ending, interrupted=lambda: False)


def make_adapter(files: FakeFiles, config: AdapterConfig = CONFIG) -> FuseAdapter:
    return FuseAdapter(files, config, caller=ourselves)


@pytest.fixture
def adapter(files: FakeFiles) -> FuseAdapter:
    return make_adapter(files)


class FailingFiles(FakeFiles):
    """A file system all of whose look-ups fail with a given error."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(Path("/nonexistent"))
        self._error = error

    def attributes(self, path: str, patience: Patience) -> Any:
        raise self._error


def opened(adapter: FuseAdapter, path: str, flags: int = os.O_RDONLY) -> Any:
    info = mfusepy.fuse_file_info(flags=flags)
    assert adapter.open(path, info) == 0
    return info


def number_of(call: Callable[[], object]) -> int:
    with pytest.raises(mfusepy.FuseOSError) as caught:
        call()
    number: int = caught.value.errno
    return number


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.NotFoundError("gone", url="u"), errno.ENOENT),
        (errors.NoSuchNameError("none"), errno.ENOENT),
        (errors.ForbiddenError("no", url="u"), errno.EACCES),
        (errors.FileChangedError("changed", url="u"), errno.ESTALE),
        (errors.BadHandleError("7"), errno.EBADF),
        (errors.NotDirectoryError("a"), errno.ENOTDIR),
        (errors.IsDirectoryError("a"), errno.EISDIR),
        (errors.ReadOnlyError("a"), errno.EROFS),
        (errors.NoAttributeError("a"), errno.ENODATA),
        (errors.InterruptedCallError("stop"), errno.EINTR),
        (errors.UnavailableError("down", url="u"), errno.EIO),
        (errors.OfflineError("down", url="u"), errno.EIO),
        (errors.StalledError("slow", url="u"), errno.EIO),
        (errors.BadResponseError("odd", url="u"), errno.EIO),
        (errors.GaveUpError("late"), errno.EIO),
        (errors.CorruptBlockError("bits"), errno.EIO),
        (errors.EmpiarFSError("anything else"), errno.EIO),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
@pytest.mark.expects_warnings
def test_a_call_fails_with_the_errno_of_its_cause(
    error: errors.EmpiarFSError, expected: int
) -> None:
    adapter = make_adapter(FailingFiles(error))

    assert number_of(lambda: adapter.getattr("/a", None)) == expected


def all_subclasses(cls: type[object]) -> Iterator[type[object]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from all_subclasses(subclass)


def test_every_error_of_ours_has_an_errno() -> None:
    for cls in all_subclasses(errors.EmpiarFSError):
        assert any(base in ERRNO_BY_ERROR for base in cls.__mro__), cls


def test_a_new_subclass_gets_the_errno_of_its_nearest_parent() -> None:
    class MovedError(errors.NotFoundError):
        pass

    assert errno_for(MovedError("moved", url="u")) == errno.ENOENT


@pytest.mark.parametrize("name", ["bug", "exit"])
def test_a_mistake_of_ours_is_eio_and_in_the_log_with_its_traceback(
    adapter: FuseAdapter, name: str, expect_log: ExpectLog
) -> None:
    records = expect_log(f"(ERROR|CRITICAL) .*{name}")

    assert number_of(lambda: adapter.getattr(f"/{name}", None)) == errno.EIO
    assert records[0].exc_info is not None


def test_errors_that_programs_meet_every_day_are_no_warnings(adapter: FuseAdapter) -> None:
    # An unexpected warning fails a test; see tests/conftest.py.
    assert number_of(lambda: adapter.getattr("/nothing", None)) == errno.ENOENT
    assert number_of(lambda: adapter.opendir("/data/a.mrc")) == errno.ENOTDIR


# -- reads --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "size", "expected"),
    [
        (0, 200, bytes(range(200))),
        (0, 4096, bytes(range(200))),
        (190, 100, bytes(range(190, 200))),
        (199, 1, b"\xc7"),
        (200, 10, b""),
        (500, 10, b""),
        (10, 0, b""),
    ],
)
def test_a_read_returns_exactly_what_the_file_has_there(
    adapter: FuseAdapter, offset: int, size: int, expected: bytes
) -> None:
    info = opened(adapter, "/data/a.mrc")

    assert adapter.read(None, size, offset, info) == expected


@pytest.mark.expects_warnings
def test_a_short_read_becomes_an_error(adapter: FuseAdapter) -> None:
    info = opened(adapter, "/short")

    assert number_of(lambda: adapter.read(None, 5, 0, info)) == errno.EIO


@pytest.mark.expects_warnings
def test_a_long_read_becomes_an_error(adapter: FuseAdapter, files: FakeFiles) -> None:
    files.read = lambda handle, offset, size, patience: b"123456"  # type: ignore[method-assign]
    info = opened(adapter, "/data/a.mrc")

    assert number_of(lambda: adapter.read(None, 5, 0, info)) == errno.EIO


@pytest.mark.expects_warnings
def test_a_read_fails_when_its_time_is_over(adapter: FuseAdapter) -> None:
    info = opened(adapter, "/slow-read")

    assert number_of(lambda: adapter.read(None, 5, 0, info)) == errno.EIO


def test_a_read_of_a_handle_that_is_not_open_is_ebadf(
    adapter: FuseAdapter, expects_warnings: list[logging.LogRecord]
) -> None:
    info = mfusepy.fuse_file_info(fh=99)

    assert number_of(lambda: adapter.read(None, 5, 0, info)) == errno.EBADF


@pytest.mark.expects_warnings
def test_the_end_of_the_mount_fails_who_waits_and_who_comes(directory: Path) -> None:
    adapter = make_adapter(FakeFiles(directory), AdapterConfig(wait_s=1000, lookup_s=1000))
    adapter.stop()

    # EINTR would be repeated by Python and others, for ever.
    assert number_of(lambda: adapter.getattr("/slow-stat", None)) == errno.EIO


@pytest.mark.parametrize(
    "flags", [os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_RDONLY | os.O_CREAT]
)
def test_opening_to_write_is_refused(adapter: FuseAdapter, files: FakeFiles, flags: int) -> None:
    assert number_of(lambda: opened(adapter, "/data/a.mrc", flags)) == errno.EROFS
    assert files.open_count() == 0


def test_the_kernel_is_told_whether_to_keep_its_pages(
    adapter: FuseAdapter, directory: Path
) -> None:
    first = opened(adapter, "/data/a.mrc")
    assert (first.keep_cache, first.direct_io) == (1, 0)

    (directory / "data/a.mrc").write_bytes(b"new")

    second = opened(adapter, "/data/a.mrc")
    assert (second.keep_cache, second.direct_io) == (0, 1)


@pytest.mark.expects_warnings
def test_an_open_whose_size_is_unknown_leaves_nothing_open(files: FakeFiles) -> None:
    def fail(handle: int) -> Any:
        raise errors.GaveUpError("late")

    files.attributes_of_handle = fail  # type: ignore[method-assign]
    adapter = make_adapter(files)

    assert number_of(lambda: opened(adapter, "/data/a.mrc")) == errno.EIO
    assert files.open_count() == 0


def test_files_and_directories_are_closed(adapter: FuseAdapter, files: FakeFiles) -> None:
    info = opened(adapter, "/data/a.mrc")
    handle = adapter.opendir("/data")
    assert files.open_count() == 2

    adapter.release(None, info)
    adapter.releasedir(None, handle)

    assert files.open_count() == 0


# -- attributes ---------------------------------------------------------------------------


def test_attributes_of_a_file(adapter: FuseAdapter) -> None:
    found = adapter.getattr("/data/a.mrc", None)

    assert found.st_mode == stat.S_IFREG | 0o644
    assert (found.st_uid, found.st_gid, found.st_nlink) == (12, 34, 1)
    assert found.st_size == 200
    assert found.st_blksize == 4096
    for time in (found.st_mtimespec, found.st_ctimespec, found.st_atimespec):
        assert (time.tv_sec, time.tv_nsec) == (1_600_000_000, 123_456_789)


def test_attributes_of_a_directory(adapter: FuseAdapter) -> None:
    found = adapter.getattr("/data", None)

    assert found.st_mode == stat.S_IFDIR | 0o755
    assert found.st_nlink == 2


def test_a_symbolic_link_is_shown_as_one(adapter: FuseAdapter, directory: Path) -> None:
    (directory / "data/link").symlink_to("../data/a.mrc")
    found = adapter.getattr("/data/link", None)
    items = adapter.readdir_with_offset("/data", 0, adapter.opendir("/data"))

    assert found.st_mode == stat.S_IFLNK | 0o777
    assert (found.st_size, found.st_nlink) == (len("../data/a.mrc"), 1)
    assert adapter.readlink("/data/link") == "../data/a.mrc"
    assert number_of(lambda: adapter.readlink("/data/a.mrc")) == errno.ENOENT
    assert {name: stat.S_IFMT(kept["st_mode"]) for name, kept, _ in items} == {
        ".": stat.S_IFDIR,
        "..": stat.S_IFDIR,
        "a.mrc": stat.S_IFREG,
        "link": stat.S_IFLNK,
    }


@pytest.mark.parametrize(("size", "blocks"), [(0, 0), (1, 1), (512, 1), (513, 2), (4096, 8)])
def test_blocks_cover_the_file(
    adapter: FuseAdapter, directory: Path, size: int, blocks: int
) -> None:
    (directory / "sized").write_bytes(b"x" * size)

    assert adapter.getattr("/sized", None).st_blocks == blocks


def test_an_umask_takes_permissions_away(files: FakeFiles) -> None:
    adapter = make_adapter(files, AdapterConfig(umask=0o077))

    assert stat.S_IMODE(adapter.getattr("/data/a.mrc", None).st_mode) == 0o600
    assert stat.S_IMODE(adapter.getattr("/data", None).st_mode) == 0o700


def test_an_open_file_shows_what_its_path_shows(adapter: FuseAdapter, directory: Path) -> None:
    info = opened(adapter, "/data/a.mrc")
    (directory / "data/a.mrc").write_bytes(b"new")

    assert adapter.getattr(None, info).st_size == 3


def test_df_shows_the_space(adapter: FuseAdapter) -> None:
    shown = adapter.statfs("/")

    assert shown["f_blocks"] * shown["f_frsize"] == 1 << 30
    assert shown["f_bavail"] * shown["f_frsize"] == (1 << 30) - (1 << 20)
    assert shown["f_namemax"] == 255


# -- directories --------------------------------------------------------------------------


def test_a_directory_can_be_read_on_from_any_offset(adapter: FuseAdapter, directory: Path) -> None:
    handle = adapter.opendir("/")
    everything = list(adapter.readdir_with_offset(None, 0, handle))

    assert {name for name, _, _ in everything} == {".", "..", *os.listdir(directory)}
    for number, (_, _, offset) in enumerate(everything, start=1):
        assert offset == number
        assert list(adapter.readdir_with_offset(None, offset, handle)) == everything[number:]


def test_items_have_the_kind_and_inode_that_stat_shows(adapter: FuseAdapter) -> None:
    handle = adapter.opendir("/data")
    shown = {name: found for name, found, _ in adapter.readdir_with_offset(None, 0, handle)}

    for name, path in ((".", "/data"), ("..", "/"), ("a.mrc", "/data/a.mrc")):
        attributes = adapter.getattr(path, None)
        assert shown[name] == {"st_mode": attributes.st_mode, "st_ino": attributes.st_ino}


# -- writing, extended attributes ---------------------------------------------------------


@pytest.mark.parametrize(
    "operation",
    [
        "chmod", "chown", "create", "fallocate", "link", "mkdir", "mknod", "removexattr",
        "rename", "rmdir", "setxattr", "symlink", "truncate", "unlink", "utimens", "write",
    ],
)  # fmt: skip
def test_every_way_of_writing_is_refused(adapter: FuseAdapter, operation: str) -> None:
    assert number_of(lambda: getattr(adapter, operation)("/data/a.mrc", 0, 0)) == errno.EROFS


def is_left_to_libfuse(adapter: FuseAdapter, operation: str) -> bool:
    return bool(getattr(getattr(adapter, operation), "libfuse_ignore", False))


@pytest.mark.parametrize(
    "operation", ["getxattr", "listxattr", "lock", "flock", "access", "flush", "fsync", "ioctl"]
)
def test_what_the_kernel_does_better_is_left_to_it(adapter: FuseAdapter, operation: str) -> None:
    assert is_left_to_libfuse(adapter, operation)


def test_extended_attributes_are_shown_where_they_were_asked_for(files: FakeFiles) -> None:
    adapter = XattrFuseAdapter(files, CONFIG, caller=ourselves)

    assert "user.empiar.size" in adapter.listxattr("/data/a.mrc")
    assert adapter.getxattr("/data/a.mrc", "user.empiar.size") == b"200"
    assert number_of(lambda: adapter.getxattr("/short", "user.other")) == errno.ENODATA
    # The kernel asks for these on its own; they must not become a request to the archive.
    assert number_of(lambda: adapter.getxattr("/nothing", "security.selinux")) == errno.ENODATA


# -- who asks -----------------------------------------------------------------------------


def status_of(**signals: signal.Signals) -> bytes:
    """Return the text of a /proc/PID/status in which each mask holds one signal."""
    masks = dict.fromkeys(("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"), 0)
    for name, number in signals.items():
        masks[name] = 1 << (number - 1)
    lines = [f"{name}:\t{mask:016x}" for name, mask in masks.items()]
    return "\n".join(["Name:\tcat", "State:\tD (disk sleep)", *lines, "Cpus_allowed:\t3"]).encode()


@pytest.mark.parametrize("where", ["SigPnd", "ShdPnd"])
@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM],
)
def test_a_signal_that_ends_the_process_stops_the_call(number: signal.Signals, where: str) -> None:
    assert is_being_stopped(status_of(**{where: number}))


@pytest.mark.parametrize(
    "number", [signal.SIGWINCH, signal.SIGCHLD, signal.SIGURG, signal.SIGCONT, signal.SIGTSTP]
)
def test_a_signal_that_ends_nothing_does_not(number: signal.Signals) -> None:
    assert not is_being_stopped(status_of(ShdPnd=number))


def test_a_handler_of_its_own_tells_whether_a_signal_counts() -> None:
    assert not is_being_stopped(status_of(ShdPnd=signal.SIGALRM, SigCgt=signal.SIGALRM))
    assert is_being_stopped(status_of(ShdPnd=signal.SIGINT, SigCgt=signal.SIGINT))
    assert not is_being_stopped(status_of(ShdPnd=signal.SIGTERM, SigBlk=signal.SIGTERM))


def test_no_signal_is_no_reason() -> None:
    assert not is_being_stopped(status_of())
    assert not is_being_stopped(Path("/proc/self/status").read_bytes())


def test_a_process_that_has_ended_is_gone() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)

    assert is_gone(pid)
    assert not is_gone(os.getpid())


# -- what libfuse is told -----------------------------------------------------------------


def test_commas_and_backslashes_in_options_are_escaped() -> None:
    keywords = session_keywords(SessionOptions("/mnt", "http://host/a,b\\c/"))

    assert keywords["fsname"] == "http://host/a\\,b\\\\c/"


def test_the_mount_is_closed_to_writing_devices_and_set_user_id() -> None:
    keywords = session_keywords(SessionOptions("/mnt", "empiar"))

    assert [keywords[name] for name in ("ro", "nosuid", "nodev", "default_permissions")] == [
        True
    ] * 4
    assert keywords["allow_other"] is False
