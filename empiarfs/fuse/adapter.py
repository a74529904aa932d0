"""Turns the kernel's requests into calls of the file system, and errors into errno values.

No policy lives here: what a path means, what is cached and what is asked of the archive is
the business of `empiarfs.vfs`. Three rules do:

* A read is answered with exactly the bytes that the file has there, or with an error. The
  kernel takes a short answer for the end of the file, and programs would read on without a
  word: `read()` ends early, `mmap` shows zeros.
* No exception leaves a handler but `FuseOSError`. mfusepy answers EINVAL for any other,
  and takes the whole mount down for one that isn't an `Exception`.
* Whatever would write is refused with EROFS. The kernel does so by itself on a mount with
  `ro`; these handlers stand for the day on which that option gets lost.

Locks are left undefined, so that the kernel keeps them; so are extended attributes, unless
they were asked for: answering ENOSYS once makes the kernel stop asking, anything else costs
two requests or three for each file of an `ls -l`.

Threading: handlers run in libfuse's threads, several at once; what they share is in objects
that have locks of their own.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from empiarfs.core.waits import Account
from empiarfs.errors import EmpiarFSError, ReadOnlyError
from empiarfs.fuse import library
from empiarfs.fuse.answers import answers, refuses
from empiarfs.fuse.arguments import FileInfo, inner_path
from empiarfs.fuse.callers import Caller, current_caller
from empiarfs.fuse.config import AdapterConfig, tune
from empiarfs.fuse.errnos import ORDINARY, errno_for
from empiarfs.fuse.files import Files
from empiarfs.fuse.handles import Handles, OpenDirectory, OpenFile
from empiarfs.fuse.invalidation import Invalidator
from empiarfs.fuse.journeys import Journeys
from empiarfs.fuse.library import mfusepy
from empiarfs.fuse.readers import Readers
from empiarfs.fuse.reads import SLOW_S
from empiarfs.fuse.stat_structure import BLOCK_SIZE, StatMaker
from empiarfs.ledger import Refusal
from empiarfs.patience import Patience

logger = logging.getLogger(__name__)

# What libfuse itself says where it doesn't know; 0 would make readdir skip the item.
_UNKNOWN_INODE = 0xFFFFFFFF
# How long an `open` waits for the kernel to drop the old version's pages.
_INVALIDATION_S = 5.0
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_TRUNC | os.O_CREAT


class FuseAdapter(mfusepy.Operations):
    """Serves one mount. Every handler delegates to the file system or refuses.

    Args:
        files: The file system.
        config: How long calls may wait, and who owns the files.
        started: Called once the kernel has mounted us, in a thread of libfuse; threads
            that serve the mount may start from here on.
        invalidator: Tells the kernel what has changed; None where it can't be told.
        caller: Returns who made the request that the calling thread serves; it is given
            a function that tells whether the mount ends.
        refused: Takes down what a program was refused; must not wait for anything.
        opened_directory: Takes down which process or thread opens which directory; the same.
        readers: Takes down which process reads how much.
    """

    use_ns = True
    # Paths of open files aren't looked up by libfuse for each read.
    flag_nopath = True
    flag_nullpath_ok = True

    def __init__(
        self,
        files: Files,
        config: AdapterConfig,
        *,
        started: Callable[[], None] = lambda: None,
        invalidator: Invalidator | None = None,
        caller: Callable[[Callable[[], bool]], Caller] = current_caller,
        refused: Callable[[Refusal], None] = lambda refusal: None,
        opened_directory: Callable[[int, str], None] = lambda pid, path: None,
        readers: Readers | None = None,
    ) -> None:
        self._files = files
        self._config = config
        self._started = started
        self._invalidator = invalidator
        self._caller = caller
        self._refused = refused
        self._opened_directory = opened_directory
        self._readers = Readers() if readers is None else readers
        self._ending = threading.Event()
        self._handles = Handles()
        self._journeys = Journeys(config.lookup_s)
        self._opening = threading.local()
        self._stats = StatMaker(config.uid, config.gid, config.umask)
        if invalidator is not None:
            files.when_changed(self._file_changed)

    # -- the mount as a whole --------------------------------------------------------------

    def init_with_config(self, connection: Any, config: Any) -> None:
        """Set what the kernel should do and what libfuse has no option for."""
        try:
            tune(connection)
            if self._invalidator is not None:
                self._invalidator.start(library.session_pointer())
            self._started()
        except BaseException:
            # mfusepy would end the mount without a word of why.
            logger.critical("the mount could not be started", exc_info=True)
            raise

    def destroy(self, path: str) -> None:
        """Let go of libfuse's session, which is freed after this."""
        self.stop()
        if self._invalidator is not None:
            self._invalidator.stop()

    def stop(self) -> None:
        """Make every call that waits fail, those to come too."""
        self._ending.set()

    # -- what the handlers share -----------------------------------------------------------

    def number_for(self, error: EmpiarFSError) -> int:
        """Return the errno that answers `error`."""
        number = errno_for(error)
        # Python and others repeat a call that was interrupted, and would do so for ever.
        return errno.EIO if number == errno.EINTR and self._ending.is_set() else number

    def path_for(self, *args: Any) -> str | None:
        """Return the path of the handle among a handler's arguments, for a message."""
        paths = (self._handles.path(getattr(arg, "fh", arg)) for arg in reversed(args))
        return next((path for path in paths if path is not None), None)

    def note_refused(
        self, call: str, path: str, args: tuple[Any, ...], number: int, cause: BaseException
    ) -> None:
        """Take down that a call is answered with an errno that a program may suffer from."""
        size, offset = args[:2] if call == "read" else (None, None)
        try:
            pid, program = self._caller(self._ending.is_set).program()
            self._refused(
                Refusal(
                    at_s=time.time(),
                    call="stat" if call == "getattr" else call,
                    path=path.removeprefix("/"),
                    errno=errno.errorcode.get(number, str(number)),
                    cause=str(cause) or type(cause).__name__,
                    kind=type(cause).__name__,
                    offset=offset,
                    size=size,
                    pid=pid,
                    program=program,
                )
            )
        except Exception:
            # The program must get the errno that is due, whatever becomes of the ledger.
            logger.exception("%s %r could not be taken down", call, path)

    def _patience(self, seconds: float, account: Account) -> Patience:
        return Patience(seconds, self._caller(self._ending.is_set).has_left, account)

    @contextmanager
    def _looking_up(
        self, path: str, call: str = "stat", *, last: bool = False
    ) -> Iterator[Patience]:
        """Lend the patience for a look-up, which may be one of several of a system call."""
        caller = self._caller(self._ending.is_set)
        looked_s = time.monotonic()
        began_s = self._journeys.began_s(caller.pid, path)
        try:
            yield Patience(self._journeys.left_s(began_s), caller.has_left)
        except EmpiarFSError as exc:
            if self.number_for(exc) not in ORDINARY:
                self._readers.looked_up(
                    call, path, caller.pid, looked_s, exc, self._errno_name(exc)
                )
            raise
        if time.monotonic() - looked_s >= SLOW_S:
            self._readers.looked_up(call, path, caller.pid, looked_s)
        if not last:
            self._journeys.answered(caller.pid, path, began_s)

    def _file_changed(self, path: str) -> None:
        # A read may hold the very pages that the kernel waits for before it forgets them,
        # and so mustn't wait for it. An open must: its answer says whether to keep pages.
        assert self._invalidator is not None
        waits = getattr(self._opening, "now", False)
        self._invalidator.forget(path, _INVALIDATION_S if waits else 0)

    # -- attributes ------------------------------------------------------------------------

    @answers
    def getattr(self, path: str | None, info: FileInfo | None = None) -> Any:
        """Return libfuse's `stat` of a path, or of an open file."""
        # Of an open file too, what its path shows now: the kernel keeps the answer for all
        # who have the file open, and an old handle's would give a new one a wrong size.
        inner = (
            self._handles.file(info.fh).path
            if path is None and info is not None
            else inner_path(path)
        )
        with self._looking_up(inner) as patience:
            attributes = self._files.attributes(inner, patience)
        return self._stats.stat_of(attributes)

    @answers
    def readlink(self, path: str) -> str:
        """Return where a symbolic link leads."""
        with self._looking_up(inner_path(path)) as patience:
            return self._files.link_target(inner_path(path), patience)

    @answers
    def statfs(self, path: str) -> dict[str, int]:
        """Return what `df` shows, which is the cache."""
        space = self._files.space()
        return {
            "f_bsize": BLOCK_SIZE,
            "f_frsize": BLOCK_SIZE,
            "f_blocks": space.total // BLOCK_SIZE,
            "f_bfree": space.free // BLOCK_SIZE,
            "f_bavail": space.free // BLOCK_SIZE,
            "f_files": space.files,
            "f_namemax": 255,
        }

    # -- directories -----------------------------------------------------------------------

    @answers
    def opendir(self, path: str) -> int:
        """Open a directory."""
        inner = inner_path(path)
        self._opened_directory(self._caller(self._ending.is_set).pid, inner)
        with self._looking_up(inner, "opendir", last=True) as patience:
            handle = self._files.open_directory(inner, patience)
            parent = inner.rpartition("/")[0]
            inodes = (self._inode(path, patience) for path in (inner, parent))
            self._handles.add(handle, OpenDirectory(inner, *inodes))
        return handle

    def _inode(self, path: str, patience: Patience) -> int:
        # Only decorates `.` and `..`: an error here must not keep a directory from opening.
        try:
            return self._files.attributes(path, patience).inode
        except EmpiarFSError:
            return _UNKNOWN_INODE

    @answers
    def readdir_with_offset(
        self, path: str | None, offset: int, handle: int
    ) -> Iterator[tuple[str, dict[str, int], int]]:
        """Return the items of an open directory from number `offset` on."""
        opened = self._handles.directory(handle)
        items = self._files.directory_items(handle)

        def rest() -> Iterator[tuple[str, dict[str, int], int]]:
            # The third is where the next call goes on, and so counts from 1.
            dots = ((".", opened.inode), ("..", opened.parent_inode))
            for number in range(offset, 2):
                name, inode = dots[number]
                yield (
                    name,
                    {"st_mode": self._stats.mode(is_directory=True), "st_ino": inode},
                    number + 1,
                )
            for number in range(max(0, offset - 2), len(items)):
                item = items[number]
                mode = self._stats.mode(is_directory=item.is_directory, is_link=item.is_link)
                yield item.name, {"st_mode": mode, "st_ino": item.inode}, number + 3

        return rest()

    @answers
    def releasedir(self, path: str | None, handle: int) -> int:
        """Close a directory."""
        self._handles.remove(handle)
        self._files.close_directory(handle)
        return 0

    # -- files -----------------------------------------------------------------------------

    @answers
    def open(self, path: str, info: FileInfo) -> int:
        """Open a file for reading."""
        if info.flags & _WRITING:
            raise ReadOnlyError("the archive can't be written")
        self._opening.now = True
        try:
            with self._looking_up(inner_path(path), "open", last=True) as patience:
                opened = self._files.open(inner_path(path), patience)
        finally:
            self._opening.now = False
        try:
            size = self._files.attributes_of_handle(opened.handle).size
        except BaseException:
            self._files.release(opened.handle)
            raise
        self._handles.add(opened.handle, OpenFile(inner_path(path), size))
        pid = self._caller(self._ending.is_set).pid
        self._readers.opened(opened.handle, pid, inner_path(path), size)
        info.fh = opened.handle
        info.keep_cache = int(opened.keep_cache)
        info.direct_io = int(opened.direct_io)
        return 0

    @answers
    def read(self, path: str | None, size: int, offset: int, info: FileInfo) -> bytes:
        """Return exactly the bytes that the file has in `[offset, offset + size)`."""
        opened = self._handles.file(info.fh)
        expected = max(0, min(size, opened.size - offset))
        reading = self._readers.begin(info.fh, offset, size)
        try:
            patience = self._patience(self._config.wait_s, reading.account)
            data = self._files.read(info.fh, offset, size, patience)
            if len(data) != expected:
                raise EmpiarFSError(
                    f"{len(data)} bytes at {offset} where {expected} are due; "
                    "a mistake of empiarfs"
                )
        except BaseException as exc:
            self._readers.failed(info.fh, reading, exc, self._errno_name(exc))
            raise
        self._readers.ended(info.fh, reading, len(data))
        return data

    def _errno_name(self, error: BaseException) -> str:
        number = self.number_for(error) if isinstance(error, EmpiarFSError) else errno.EIO
        return errno.errorcode.get(number, str(number))

    @answers
    def release(self, path: str | None, info: FileInfo) -> int:
        """Close a file."""
        self._handles.remove(info.fh)
        # Before the handle's number can be used again.
        self._readers.released(info.fh)
        self._files.release(info.fh)
        return 0

    # -- whatever would write --------------------------------------------------------------

    chmod = refuses("chmod")
    chown = refuses("chown")
    create = refuses("create")
    fallocate = refuses("fallocate")
    link = refuses("link")
    mkdir = refuses("mkdir")
    mknod = refuses("mknod")
    removexattr = refuses("removexattr")
    rename = refuses("rename")
    rmdir = refuses("rmdir")
    setxattr = refuses("setxattr")
    symlink = refuses("symlink")
    truncate = refuses("truncate")
    unlink = refuses("unlink")
    utimens = refuses("utimens")
    write = refuses("write")
