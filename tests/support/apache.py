"""Debian's apache2, started by a test on a free loopback port with listings like EMPIAR's.

`ApacheServer` serves a directory at the path at which EMPIAR serves its archive, as the
unprivileged user www-data when the tests run as root. What it was asked for is read from
its access log, which holds a line for each request that has ended.

The server runs in the foreground as a child of the test; nothing of it is left after
`stop`, and no file outside its own temporary directory is written.

Not safe for use from several threads.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote_to_bytes

from tests.support.certificates import Certificates, make_certificates

APACHE = "/usr/sbin/apache2"
ARCHIVE_PATH = "/empiar/world_availability/"

_MODULES_DIRECTORY = Path("/usr/lib/apache2/modules")
# The order matters: ssl needs socache_shmcb, deflate needs filter.
_MODULES = (
    "mpm_event",
    "authz_core",
    "mime",
    "dir",
    "alias",
    "autoindex",
    "filter",
    "deflate",
    "headers",
    "status",
)
_TLS_MODULES = ("socache_shmcb", "ssl")
_LOG_FIELDS = (
    "%m",
    "%>s",
    "%B",
    "%{Range}i",
    "%{remote}p",
    "%{begin:usec}t",
    "%{end:usec}t",
    "%{User-Agent}i",
    "%r",
)
_STATUS_PATH = "/state-of-apache"
_START_DEADLINE_S = 20.0
_STOP_DEADLINE_S = 10.0
_QUIET_DEADLINE_S = 1.0
_POLL_S = 0.01

_CONFIG = """\
ServerRoot "{home}"
ServerName localhost
Listen 127.0.0.1:{port}
PidFile "{home}/apache.pid"
DefaultRuntimeDir "{home}"
{modules}
{identity}
# One child: starts in a tenth of a second, and can answer more at once than EMPIAR allows.
StartServers 1
ServerLimit 1
ThreadsPerChild 64
ThreadLimit 64
MaxRequestWorkers 64
MinSpareThreads 1
MaxSpareThreads 64

KeepAlive On
KeepAliveTimeout 5
MaxKeepAliveRequests {keep_alive_requests}

TypesConfig "{home}/mime.types"
AddType image/tiff .tif .tiff
AddType application/xml .xml
# A served file that shrinks must not kill the server.
EnableMMAP Off
DirectoryIndex disabled

ErrorLog "{home}/error.log"
LogLevel warn
CustomLog "{home}/access.log" "{log_format}"
BufferedLogs Off

Alias "{archive_path}" "{root}/"
<Directory "{root}/">
  AllowOverride None
  Options Indexes
  Require all granted
</Directory>
<Location "{status_path}">
  SetHandler server-status
</Location>
ExtendedStatus Off
IndexOptions FancyIndexing HTMLTable NameWidth=*
DefaultIcon /icons/unknown.gif
AddIcon /icons/blank.gif ^^BLANKICON^^
AddIcon /icons/folder.gif ^^DIRECTORY^^
AddIcon /icons/back.gif ..
{index_ignore}
{tls}
{extra_config}
"""

# What Debian's own configuration hides.
_INDEX_IGNORE = "IndexIgnore .??* *~ *# HEADER* README* RCS CVS *,v *,t"

_TLS = """\
SSLEngine On
SSLCertificateFile "{certificate}"
SSLCertificateKeyFile "{key}"
SSLSessionCache "shmcb:{home}/sessions(65536)"
"""


@dataclass(frozen=True, slots=True)
class Access:
    """A request that Apache answered.

    Attributes:
        method: GET or HEAD.
        path: The path as asked for, percent-encoded, with its query.
        status: Of the answer, such as 206.
        size: Bytes of the body that were sent.
        range: The value of the Range header, or "".
        connection: The client's port, which tells connections apart.
        begin_us: When the request arrived, in microseconds since 1970.
        end_us: When the answer was sent.
        agent: The value of the User-Agent header.
    """

    method: str
    path: str
    status: int
    size: int
    range: str
    connection: int
    begin_us: int
    end_us: int
    agent: str

    @property
    def name(self) -> str:
        """The decoded path inside the archive, in the spelling of empiarfs."""
        decoded = unquote_to_bytes(self.path).decode("utf-8", "surrogateescape")
        return decoded.removeprefix(ARCHIVE_PATH).strip("/")


def is_installed() -> bool:
    """Tell whether Debian's Apache is on this machine."""
    return os.access(APACHE, os.X_OK) and _MODULES_DIRECTORY.is_dir()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ApacheServer:
    """Serves the directory `root` as EMPIAR serves its archive; a context manager.

    Args:
        root: What to serve; has to be readable for other users when the tests run as root.
        tls: Serve HTTPS, with a certificate of `certificates.authority`.
        keep_alive_requests: Requests after which Apache closes a connection; 100 is its
            default, 0 means no limit.
        index_ignore: Hide from listings what Debian's configuration hides.
        extra_config: Further lines of configuration.
        gzip: Compress listings for clients that accept it.
    """

    def __init__(
        self,
        root: Path,
        *,
        tls: bool = False,
        keep_alive_requests: int = 100,
        index_ignore: bool = True,
        extra_config: str = "",
        gzip: bool = False,
    ) -> None:
        self.root = root
        self.port = 0
        self.certificates: Certificates | None = None
        self._tls = tls
        self._keep_alive_requests = keep_alive_requests
        self._index_ignore = index_ignore
        self._extra_config = extra_config
        if gzip:
            self._extra_config += "\nAddOutputFilterByType DEFLATE text/html\n"
        self.home = Path()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ApacheServer:
        self.home = Path(tempfile.mkdtemp(prefix="empiarfs-apache-"))
        try:
            self.home.chmod(0o755)
            (self.home / "mime.types").touch()
            if self._tls:
                self.certificates = make_certificates(self.home / "tls")
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._remove()

    @property
    def url(self) -> str:
        """The archive's URL, with a trailing slash."""
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self.port}{ARCHIVE_PATH}"

    @property
    def pid(self) -> int:
        """The process to signal; a RuntimeError while stopped."""
        if self._process is None:
            raise RuntimeError("Apache is stopped")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the server was started and has not been stopped."""
        return self._process is not None

    @property
    def environment(self) -> dict[str, str]:
        """What a client's environment needs in order to trust this server."""
        if self.certificates is None:
            return {}
        authority = str(self.certificates.authority)
        return {"REQUESTS_CA_BUNDLE": authority, "SSL_CERT_FILE": authority}

    @property
    def error_log(self) -> str:
        """What Apache complained about."""
        log = self.home / "error.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def start(self) -> None:
        """Start, on the port of the last time if there was one; return once it answers."""
        attempts = 1 if self.port else 5
        for attempt in range(1, attempts + 1):
            # Somebody may take a free port before Apache does, so another one is tried.
            port = self.port or free_port()
            self._write_config(port)
            self._process = self._run()
            if self._wait_until_ready(port):
                self.port = port
                return
            self.stop()
            if attempt == attempts:
                raise RuntimeError(f"Apache does not start on port {port}:\n{self.error_log}")

    def stop(self) -> None:
        """End the server and its children, and with them all its connections."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def accesses(self) -> list[Access]:
        """Return all requests that have been answered, in the order of their ends.

        Requests that the client saw the end of before the call are among them.
        """
        if self.is_running:
            self._wait_until_quiet()
        log = self.home / "access.log"
        # Behind the last end of a line there may be one that is just being written.
        *lines, _ = log.read_text(errors="surrogateescape").split("\n") if log.exists() else [""]
        return [access for line in lines if line and (access := _parse(line)) is not None]

    def mark(self) -> int:
        """Return the number of requests so far, for `requests_since`."""
        return len(self.accesses())

    def requests_since(self, mark: int) -> list[Access]:
        """Return the requests that were answered after `mark` was taken."""
        return self.accesses()[mark:]

    def wait_for_requests(
        self, condition: Callable[[list[Access]], bool], deadline_s: float
    ) -> None:
        """Return once `condition` holds for the requests so far, or fail after `deadline_s`."""
        deadline = time.monotonic() + deadline_s
        while not condition(self.accesses()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not asked for within {deadline_s} s")
            time.sleep(_POLL_S)

    def _run(self) -> subprocess.Popen[bytes]:
        # The log's times and the listing's dates: EMPIAR's are local time without a zone.
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C", "TZ": "UTC"}
        environment |= {
            key: os.environ[key] for key in ("RUN_OF_EMPIARFS_TESTS",) if key in os.environ
        }
        with (self.home / "output").open("ab") as output:
            return subprocess.Popen(
                [APACHE, "-D", "FOREGROUND", "-f", str(self.home / "apache.conf")],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _write_config(self, port: int) -> None:
        modules = _MODULES + (_TLS_MODULES if self._tls else ())
        tls = ""
        if self.certificates is not None:
            tls = _TLS.format(
                certificate=self.certificates.certificate,
                key=self.certificates.key,
                home=self.home,
            )
        config = _CONFIG.format(
            home=self.home,
            port=port,
            log_format="\\t".join(_LOG_FIELDS),
            modules="\n".join(
                f'LoadModule {module}_module "{_MODULES_DIRECTORY}/mod_{module}.so"'
                for module in modules
            ),
            identity="User www-data\nGroup www-data" if os.geteuid() == 0 else "",
            keep_alive_requests=self._keep_alive_requests,
            archive_path=ARCHIVE_PATH,
            status_path=_STATUS_PATH,
            root=self.root,
            index_ignore=_INDEX_IGNORE if self._index_ignore else "",
            tls=tls,
            extra_config=self._extra_config,
        )
        (self.home / "apache.conf").write_text(config)

    def _wait_until_ready(self, port: int) -> bool:
        """Return True once Apache answers, False if it ended instead."""
        deadline = time.monotonic() + _START_DEADLINE_S
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                return False
            try:
                self._ask(port)
            except OSError:
                time.sleep(_POLL_S)
            else:
                return True
        return False

    def _wait_until_quiet(self) -> None:
        """Wait until no worker but the one that answers us is busy, so that all have logged.

        A client sees the end of an answer a moment before Apache writes the line for it.
        What is still being answered after a while isn't waited for.
        """
        deadline = time.monotonic() + _QUIET_DEADLINE_S
        while time.monotonic() < deadline:
            status = self._ask(self.port)
            if b"BusyWorkers: 1\n" in status and b"ConnsAsyncWriting: 0\n" in status:
                return
            time.sleep(_POLL_S / 10)

    def _ask(self, port: int) -> bytes:
        """Return what Apache says of its own state."""
        connection: http.client.HTTPConnection
        if self.certificates is None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        else:
            trust = ssl.create_default_context(cafile=self.certificates.authority)
            connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=trust)
        try:
            connection.request("GET", _STATUS_PATH + "?auto", headers={"Connection": "close"})
            return connection.getresponse().read()
        except http.client.HTTPException as exc:
            raise ConnectionError(f"not HTTP: {exc!r}") from exc
        finally:
            connection.close()

    def _remove(self) -> None:
        self.stop()
        if self.home != Path():
            shutil.rmtree(self.home, ignore_errors=True)


def _parse(line: str) -> Access | None:
    """Return the request of a line of the log, or None for one that isn't a client's."""
    fields = line.split("\t")
    if len(fields) != len(_LOG_FIELDS):
        raise ValueError(f"not a line of the access log: {line!r}")
    method, status, size, wanted, port, begin, end, agent, request = fields
    words = request.split(" ")
    if len(words) < 2 or words[1].startswith(_STATUS_PATH):
        return None  # "-": a connection that was closed before its request came
    return Access(
        method=method,
        path=words[1],
        status=int(status),
        size=int(size),
        range="" if wanted == "-" else wanted,
        connection=int(port),
        begin_us=int(begin),
        end_us=int(end),
        agent=agent,
    )
