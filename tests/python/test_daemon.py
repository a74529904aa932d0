"""Reading by the daemon of a mount: one fetcher and one cache for both, and no need of it."""

from __future__ import annotations

import errno
import json
import logging
import os
import pickle
import random
import signal
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import empiarfs
from empiarfs.control import MountRecord, Registration, ask, frames, own_directory, registered
from empiarfs.control.wire import bound_socket, connected_socket
from empiarfs.errors import EmpiarFSError, UnavailableError
from empiarfs.fuse.reads import Reading
from empiarfs.mount.serving import FileServer
from empiarfs.patience import Patience
from empiarfs.python.daemon import Daemon
from empiarfs.python.session import default_session
from tests.python.conftest import use
from tests.python.test_processes import in_child
from tests.support.broken_server import BrokenServer, Fault
from tests.support.mounts import Mount, mounted
from tests.support.python_workers import inherited
from tests.support.users import NOBODY, require_root, run_as
from tests.support.waiting import wait_until

SIZE = 3_000_001
NAMES = [f"10934/data/{number}.mrc" for number in range(8)]
CONTENT = {name: random.Random(name).randbytes(SIZE) for name in NAMES}
# In a directory of its own, so that nobody foresees it.
CHANGING = "10017/data/changing.mrc"
SILENT = "10017/data/silent/x.mrc"
fuse = pytest.mark.fuse


@pytest.fixture(scope="module")
def server() -> Iterator[BrokenServer]:
    with BrokenServer({**CONTENT, SILENT: bytes(SIZE), CHANGING: bytes(SIZE)}) as made:
        made.fault(
            lambda each: each.path == SILENT and each.method == "GET",
            Fault.silence(),
            times=10_000,
        )
        yield made
        made.release()


@pytest.fixture(scope="module")
def shared(server: BrokenServer) -> Iterator[Mount]:
    """Mount the archive once for all tests that leave the mount as it is."""
    with mounted(server.url) as made:
        made.warnings_expected = True
        yield made


@pytest.fixture
def mount(shared: Mount, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mount]:
    join(monkeypatch, shared)
    yield shared
    empiarfs.close()


def join(monkeypatch: pytest.MonkeyPatch, mount: Mount) -> None:
    """Have this process find a mount and use its cache directory."""
    use(monkeypatch, mount.archive_url)
    monkeypatch.setenv("EMPIARFS_CACHE_DIR", str(mount.cache_dir))
    monkeypatch.setenv("XDG_RUNTIME_DIR", mount.environment["XDG_RUNTIME_DIR"])


def status(mount: Mount) -> dict[str, Any]:
    """Return what the daemon says, without the command that prints it."""
    every = registered(os.getuid(), {"XDG_RUNTIME_DIR": mount.environment["XDG_RUNTIME_DIR"]})
    [found] = [each for each in every if each.record.mount_point == str(mount.path)]
    return ask(found, "status", 60)


def counted(mount: Mount, name: str) -> int:
    return int(status(mount)["counters"].get(name, 0))


def own(name: str) -> int:
    """Return a counter of this process's own parts."""
    return int(default_session().live().parts.counters.statistics().counters.get(name, 0))


def data_socket(mount: Mount) -> Path:
    [found] = (Path(mount.environment["XDG_RUNTIME_DIR"]) / "empiarfs").glob("*.data")
    return found


def connections(mount: Mount) -> int:
    return int(status(mount)["python"]["connections"])


def request(name: str, **words: object) -> bytes:
    text = json.dumps({"request": name, "wait": 30, "of": 30, **words}).encode()
    return struct.pack("!BI", frames.WORDS, len(text)) + text


def read_request(path: str, **words: object) -> bytes:
    version = [SIZE, 1_600_000_020, None]
    return request("read", **{"path": path, "version": version, "offset": 0, "size": 10, **words})


# -- one fetcher, one cache, one set of statistics ---------------------------------------------


@fuse
def test_what_a_client_reads_stands_in_the_mounts_statistics(mount: Mount) -> None:
    before = counted(mount, "read_bytes")
    with empiarfs.open(NAMES[0]) as file:
        assert file.read() == CONTENT[NAMES[0]]
        assert status(mount)["python"]["clients"] == 1
    [reader] = [each for each in status(mount)["readers"] if each["pid"] == os.getpid()]

    assert counted(mount, "read_bytes") - before == SIZE
    assert reader["read_bytes"] == SIZE
    assert own("reads") == 0


@fuse
def test_nothing_is_fetched_twice_by_mount_and_client(mount: Mount) -> None:
    before = counted(mount, "network_bytes")
    with ThreadPoolExecutor(1) as pool, empiarfs.open(NAMES[1]) as file:
        by_mount = pool.submit((mount.path / NAMES[1]).read_bytes)
        assert file.read() == CONTENT[NAMES[1]]
        assert by_mount.result() == CONTENT[NAMES[1]]

    # A range whose answer is late is asked for again; nearly all come once.
    assert SIZE <= counted(mount, "network_bytes") - before < 1.5 * SIZE
    assert own("requests") == own("connections_opened") == own("network_bytes") == 0


@fuse
def test_hints_are_the_daemons_as_well(mount: Mount) -> None:
    ranges = [(offset, 70_000) for offset in range(0, SIZE, 500_000)]
    empiarfs.prefetch([(NAMES[2], *each) for each in ranges])
    with empiarfs.open(NAMES[2]) as file:
        found = list(file.read_ranges(ranges))

    content = CONTENT[NAMES[2]]
    assert found == [content[offset : offset + size] for offset, size in ranges]
    assert own("requests") == own("network_bytes") == 0


@fuse
def test_many_clients_read_at_once(mount: Mount) -> None:
    live = default_session().live()
    directory = live.parts.place.path
    start = threading.Barrier(64)
    clients = [Daemon(live.config, mount.archive_url, directory) for _ in range(64)]

    def read(number: int) -> bool:
        client, name = clients[number], NAMES[number % 8]
        start.wait()
        file = client.open(name, Patience(60))
        assert file is not None
        offset = 40_000 * number
        data = client.read(file, offset, 100_000, Patience(60), ahead=False)
        return data == CONTENT[name][offset : offset + 100_000]

    try:
        with ThreadPoolExecutor(64) as pool:
            assert list(pool.map(read, range(64))) == [True] * 64
    finally:
        for client in clients:
            client.close()


@fuse
def test_what_goes_wrong_comes_back_as_it_is(mount: Mount, server: BrokenServer) -> None:
    with pytest.raises(FileNotFoundError):
        empiarfs.open("10934/data/nothing.mrc")
    with pytest.raises(IsADirectoryError):
        empiarfs.open("10934/data")
    old = pickle.dumps(empiarfs.open(CHANGING))
    server.put(CHANGING, b"n" * 500, 1_700_000_000)
    with pytest.raises(OSError, match="has changed") as caught:
        pickle.loads(old).read()

    assert caught.value.errno == errno.ESTALE


@fuse
def test_a_read_that_gets_no_answer_ends_with_the_callers_patience(mount: Mount) -> None:
    empiarfs.configure(wait="2s")
    with empiarfs.open(SILENT) as file, pytest.raises(TimeoutError, match="no answer within 2 s"):
        file.pread(10, 0)

    assert own("requests") == 0


@fuse
def test_forked_children_are_clients_of_their_own(mount: Mount) -> None:
    before = inherited()
    file = empiarfs.open(NAMES[3])
    assert file.pread(10, 5) == CONTENT[NAMES[3]][5:15]

    assert in_child(inherited) == before
    assert in_child(lambda: (file.pread(10, 7), own("reads"))) == (CONTENT[NAMES[3]][7:17], 0)
    assert file.pread(10, 9) == CONTENT[NAMES[3]][9:19]
    assert own("reads") == 0


@fuse
@pytest.mark.parametrize(
    "settings", [{"daemon": False}, {"limit_rate": "500M"}, {"max_connections": 3}, {"local": "/"}]
)
def test_who_wants_it_otherwise_reads_without_the_daemon(
    mount: Mount, settings: dict[str, object]
) -> None:
    empiarfs.configure(**settings)
    with empiarfs.open(NAMES[4]) as file:
        assert file.pread(1000, 0) == CONTENT[NAMES[4]][:1000]

    assert own("reads") == 1


@fuse
def test_with_another_cache_directory_nothing_is_shared(
    mount: Mount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPIARFS_CACHE_DIR", str(tmp_path / "own"))
    with empiarfs.open(NAMES[4]) as file:
        assert file.pread(1000, 0) == CONTENT[NAMES[4]][:1000]

    assert own("reads") == 1


@fuse
def test_a_mount_that_is_told_not_to_serves_no_python(server: BrokenServer) -> None:
    with mounted(server.url, options=["daemon=no"]) as mount:
        assert status(mount)["python"] is None
        assert not list(Path(mount.environment["XDG_RUNTIME_DIR"]).rglob("*.data"))


# -- daemons that end, hang or lie -------------------------------------------------------------


@contextmanager
def readers(names: list[str]) -> Iterator[tuple[list[object], Callable[[], int]]]:
    """Read at random places all the time; yield what was wrong, and a count of reads."""
    wrong: list[object] = []
    done, count = threading.Event(), [0] * len(names)

    def read(number: int) -> None:
        random_, content = random.Random(number), CONTENT[names[number]]
        with empiarfs.open(names[number]) as file:
            while not done.is_set():
                offset = random_.randrange(SIZE)
                try:
                    if file.pread(150_000, offset) != content[offset : offset + 150_000]:
                        wrong.append(offset)
                except Exception as exc:
                    wrong.append(exc)
                count[number] += 1

    with ThreadPoolExecutor(len(names)) as pool:
        reading = [pool.submit(read, number) for number in range(len(names))]
        try:
            yield wrong, lambda: min(count)
        finally:
            done.set()
    for each in reading:
        each.result()


@fuse
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_daemon_that_is_killed_or_stopped_is_not_missed(
    server: BrokenServer, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    with mounted(server.url) as mount:
        mount.warnings_expected = True
        join(monkeypatch, mount)
        with readers(NAMES[:4]) as (wrong, count):
            wait_until(lambda: count() >= 3, 60)
            assert own("reads") == 0
            os.kill(mount.pid, number)
            try:
                wait_until(lambda: own("reads") > 0, 60)
                then = count()
                wait_until(lambda: count() >= then + 3, 60)
            finally:
                if number == signal.SIGSTOP:
                    os.kill(mount.pid, signal.SIGCONT)
        empiarfs.close()

    assert wrong == []


HELLO = {
    "protocol": frames.PROTOCOL,
    "limit_rate": None,
    "max_connections": 12,
    "local": ["none"],
}
GOOD_FILE = {"path": NAMES[5], "version": [SIZE, 1_600_000_020, None]}


def frame(kind: int, body: bytes) -> bytes:
    return struct.pack("!BI", kind, len(body)) + body


def words(**given: object) -> bytes:
    return frame(frames.WORDS, json.dumps(given).encode())


# What a daemon answers to "open" and to "read"; None closes the connection.
LIES: list[tuple[bytes | None, bytes | None]] = [
    (None, None),
    (b"\xff" * 100, None),
    (struct.pack("!BI", frames.WORDS, 2**32 - 1), None),
    (frame(frames.WORDS, b"[" * 60_000), None),
    (frame(frames.WORDS, b"5"), None),
    (frame(frames.BYTES, b"x" * 10), None),
    (words(archive=5, path=[], version="x"), None),
    (words(archive="http://elsewhere/", **GOOD_FILE), None),
    (frame(frames.ERROR, b'{"error": "SystemExit", "message": "x", "url": ""}'), None),
    (frame(frames.ERROR, b'{"error": [], "message": "x"}'), None),
    (b"good", None),
    (b"good", frame(frames.BYTES, b"x" * 999)),
    (b"good", frame(frames.BYTES, b"x" * 1001)),
    (b"good", frame(frames.BYTES, b"")),
    (b"good", struct.pack("!BI", frames.BYTES, 2**31) + b"x" * 1000),
    (b"good", struct.pack("!BI", frames.WAIT, 5) + b"xxxxx"),
    (b"good", words(size=1000)),
    (b"good", frame(frames.WAIT, b"") * 3 + struct.pack("!BI", frames.BYTES, 1000) + b"x" * 500),
]


@pytest.fixture
def liar(
    server: BrokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[bytes | None, bytes | None], None]]:
    """Register a daemon that answers what it is told to."""
    use(monkeypatch, server.url)
    with ExitStack() as stack:
        run = stack.enter_context(tempfile.TemporaryDirectory())
        monkeypatch.setenv("XDG_RUNTIME_DIR", run)
        record = MountRecord("/m", server.url, 1, 1.0, str(tmp_path / "cache"), "", "0.1")
        registration = stack.enter_context(
            closing(Registration(own_directory({"XDG_RUNTIME_DIR": run}), record))
        )
        listener = stack.enter_context(bound_socket(registration.data_socket))
        listener.listen()
        answers: dict[str, bytes | None] = {"hello": words(**HELLO, archive=server.url)}

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    answer_all(connection)

        def answer_all(connection: socket.socket) -> None:
            try:
                while True:
                    _, body = frames.receive(connection, {frames.WORDS: 10_000}, lambda: None)
                    answer = answers[frames.words_of(body)["request"]]
                    if answer is None:
                        return
                    connection.sendall(answer)
                    if answer[:1] in b"\xff":
                        return
            except OSError:
                return

        def say(to_open: bytes | None, to_read: bytes | None) -> None:
            good = words(archive=server.url, **GOOD_FILE)
            answers["open"] = good if to_open == b"good" else to_open
            answers["read"] = to_read

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield say
        finally:
            empiarfs.close()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(("to_open", "to_read"), LIES)
def test_what_a_daemon_says_is_not_believed(
    liar: Callable[[bytes | None, bytes | None], None],
    monkeypatch: pytest.MonkeyPatch,
    to_open: bytes | None,
    to_read: bytes | None,
) -> None:
    empiarfs.configure(wait="4s", lookup_wait="4s")
    liar(to_open, to_read)
    with empiarfs.open(NAMES[5]) as file:
        assert file.pread(1000, 40) == CONTENT[NAMES[5]][40:1040]

    assert own("reads") == 1


def test_errors_go_over_the_socket_with_class_message_and_place() -> None:
    error = UnavailableError("too busy \udcff", url="http://a/b")
    found = frames.error_of(json.loads(json.dumps(frames.words_of_error(error))))

    assert (type(found), str(found)) == (UnavailableError, str(error))
    assert type(frames.error_of(frames.words_of_error(EmpiarFSError("x")))) is EmpiarFSError


# -- clients that lie, leave or are somebody else ------------------------------------------------

HOSTILE = [
    b"",
    b"\0" * 1000,
    b"GET / HTTP/1.1\r\n\r\n",
    struct.pack("!BI", frames.WORDS, 2**32 - 1) + b"x" * 1000,
    struct.pack("!BI", frames.WORDS, 100) + b"x" * 50,
    struct.pack("!BI", frames.BYTES, 10) + b"x" * 10,
    frame(frames.WORDS, b"[" * 60_000),
    frame(frames.WORDS, b"\xff\xfe"),
    frame(frames.WORDS, b"null"),
    request("nonsense"),
    request("open"),
    request("open", path=5),
    request("open", path="x" * 60_000),
    request("open", path="10934/\ud800"),
    request("open", path=NAMES[6], wait="x"),
    request("open", path=NAMES[6], wait=-1),
    request("open", path=NAMES[6], wait=float("nan")),
    read_request(NAMES[6], size=2**40),
    read_request(NAMES[6], size=-1),
    read_request(NAMES[6], size=True),
    read_request(NAMES[6], offset=2**70),
    read_request(NAMES[6], version=[SIZE]),
    read_request(NAMES[6], version=[SIZE, 1, "x"]),
    read_request(NAMES[6], version={"size": 1}),
    request("foresee", path=NAMES[6], offset=0, size=2**40),
    read_request(NAMES[6]) * 3,
]


@fuse
def test_whatever_a_client_says_the_daemon_goes_on(mount: Mount) -> None:
    path = data_socket(mount)
    for said in HOSTILE:
        with connected_socket(path, 30) as client, suppress(ConnectionError):
            client.sendall(said)
            client.shutdown(socket.SHUT_WR)
            while client.recv(100_000):
                pass
    with empiarfs.open(NAMES[6]) as file:
        assert file.pread(10, 0) == CONTENT[NAMES[6]][:10]

    assert own("reads") == 0


def answer_to(mount: Mount, said: bytes) -> tuple[int, bytes]:
    """Return the kind and the body of what the daemon says to a request, but `WAIT`."""
    limits = {frames.WAIT: 0, frames.ERROR: 10_000, frames.BYTES: 10_000}
    with connected_socket(data_socket(mount), 30) as client:
        client.sendall(said)
        while True:
            kind, body = frames.receive(client, limits, lambda: None)
            if kind != frames.WAIT:
                return kind, body


@fuse
def test_bytes_of_another_version_than_was_asked_for_are_not_handed_out(mount: Mount) -> None:
    kind, body = answer_to(mount, read_request(NAMES[6], version=[SIZE, 1_600_000_021, None]))

    assert kind == frames.ERROR
    assert frames.words_of(body)["error"] == "FileChangedError"
    assert answer_to(mount, read_request(NAMES[6])) == (frames.BYTES, CONTENT[NAMES[6]][:10])


@fuse
@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "/etc/passwd", "10934/../x", "a\0b", ".empiar"]
)
def test_no_path_leads_out_of_the_archive(mount: Mount, path: str) -> None:
    _, body = answer_to(mount, request("open", path=path))

    assert frames.words_of(body)["error"] in ("NoSuchNameError", "NotFoundError")


@fuse
def test_what_clients_wait_for_ends_when_they_leave_and_holds_nobody_up(mount: Mount) -> None:
    path = data_socket(mount)
    with ExitStack() as stack:
        for _ in range(50):
            client = stack.enter_context(connected_socket(path, 30))
            client.sendall(read_request(SILENT, wait=None))
        wait_until(lambda: connections(mount) >= 50, 60)

        assert (mount.path / NAMES[0]).read_bytes() == CONTENT[NAMES[0]]
    wait_until(lambda: connections(mount) == 0, 60)


@fuse
def test_more_clients_than_there_are_places_for_read_by_themselves(mount: Mount) -> None:
    path = data_socket(mount)
    with ExitStack() as stack:
        # More at once than the kernel lets wait are turned away there.
        for _ in range(300):
            with suppress(BlockingIOError):
                stack.enter_context(connected_socket(path, 30))
        wait_until(lambda: connections(mount) in range(200, 257), 60)
        while connections(mount) < 256:
            with suppress(BlockingIOError):
                stack.enter_context(connected_socket(path, 30))

        with empiarfs.open(NAMES[0]) as file:
            assert file.pread(10, 0) == CONTENT[NAMES[0]][:10]
        assert own("reads") == 1
    empiarfs.close()
    wait_until(lambda: connections(mount) == 0, 60)


def test_another_user_gets_no_answer_even_through_open_doors(
    server: BrokenServer,
    monkeypatch: pytest.MonkeyPatch,
    expects_warnings: list[logging.LogRecord],
) -> None:
    require_root()
    use(monkeypatch, server.url)
    code = (
        "import socket, sys\n"
        "client = socket.socket(socket.AF_UNIX)\n"
        "client.connect(sys.argv[1])\n"
        "try:\n"
        "    client.sendall(bytes.fromhex(sys.argv[2]))\n"
        "    print(client.recv(1000))\n"
        "except OSError as exc:\n"
        "    print(exc)\n"
    )
    live = default_session().live()
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        path = Path(directory) / "open.data"
        data = FileServer(path, live.parts, live.config, NoReaders())
        try:
            assert path.stat().st_mode & 0o777 == 0o600
            path.chmod(0o777)
            done = run_as(NOBODY, ["/usr/bin/python3", "-c", code, path, request("hello").hex()])
        finally:
            data.close()

    assert b"archive" not in done.stdout
    assert done.returncode == 0
    assert [record.getMessage() for record in expects_warnings] == [
        f"user {NOBODY.uid} asked for files and was refused"
    ]


class NoReaders:
    """Takes nothing down."""

    def opened(self, handle: int, pid: int, path: str = "") -> None: ...

    def begin(self, handle: int, offset: int, size: int) -> Reading:
        raise NotImplementedError

    def begin_anew(self, reading: Reading) -> None: ...

    def ended(self, handle: int, reading: Reading, size: int) -> None: ...

    def failed(self, handle: int, reading: Reading, error: BaseException, number: str) -> None: ...

    def released(self, handle: int) -> None: ...
