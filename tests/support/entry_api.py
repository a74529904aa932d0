"""A stand-in of EMPIAR's REST API on 127.0.0.1, which serves the recorded entries.

    with EntryApi(sample_entries()) as api:
        api.fail_next("busy", 2)
        ... api.url, api.asked ...

As the real one, as far as that is known: `GET entry/<number>/` answers
`{"EMPIAR-<number>": {…}}`, `POST entry/` with `10000-10099` or `10050,10054` answers many and
leaves out what isn't there. What it does with an unknown number isn't recorded: here it is a
404, or an empty object if `unknown_is_empty`.

Written for the tests of our client, and shares no code with it. One thread for each connection.
"""

from __future__ import annotations

import copy
import gzip
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

SAMPLES = Path(__file__).parents[1] / "data" / "api"
# The recorded answers, whose keys were replaced, and the entries that they are of.
_RECORDED = {
    10934: "entry_10934_COMPOSED.json",
    10988: "IMAGELABELTEST.json",
    11419: "IMAGEPATTERNTEST.json",
    11561: "STARFILETEST.json",
    12104: "SPECIMENTEST.json",
}
_JSON = "application/json"

Fields = dict[str, Any]
Failure = Literal[
    "busy", "broken", "broken_json", "cut", "login", "other", "list", "silent", "refused"
]


def sample_entries() -> dict[int, Fields]:
    """Return the fields of the recorded entries, by number."""
    found = {}
    for number, name in _RECORDED.items():
        [fields] = json.loads((SAMPLES / name).read_text(encoding="utf-8")).values()
        found[number] = fields
    return found


def many_entries(count: int, first: int = 10_002) -> dict[int, Fields]:
    """Return so many invented entries, made of a recorded one, with gaps between numbers."""
    pattern = sample_entries()[10934]
    found = {}
    for place in range(count):
        fields = copy.deepcopy(pattern)
        number = first + place + place // 10
        fields["title"] = f"Structure number {place} of a molecule"
        fields["entry_doi"] = f"10.6019/EMPIAR-{number}"
        found[number] = fields
    return found


class EntryApi:
    """Serves `entries` below `url` until the context ends; thread-safe.

    Attributes:
        entries: Fields by number; what is put here is served.
        broken: Numbers whose fields make any answer that holds them no JSON.
        asked: What was asked for, "GET 10934" or "POST 10000-10099", in order.
        peak: The most requests that were under way at once.
        unknown_is_empty: What one unknown entry is answered with.
        packs: Whether answers are sent packed to who takes that.
        silent_after: What comes after so many requests is never answered.
    """

    def __init__(self, entries: Mapping[int, Fields] | None = None) -> None:
        self.entries: dict[int, Fields] = dict(entries or {})
        self.broken: set[int] = set()
        self.asked: list[str] = []
        self.peak = 0
        self.unknown_is_empty = False
        self.packs = False
        self.silent_after: int | None = None
        self._failures: list[Failure] = []  # guarded by _lock
        self._under_way = 0  # guarded by _lock
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> EntryApi:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The API's root, with a slash at its end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/empiar/api/"

    def fail_next(self, failure: Failure, times: int = 1) -> None:
        """Let so many of the next requests fail."""
        with self._lock:
            self._failures += [failure] * times

    def _failure(self) -> Failure | None:
        with self._lock:
            if self.silent_after is not None and len(self.asked) > self.silent_after:
                return "silent"
            return self._failures.pop(0) if self._failures else None

    def _note(self, what: str) -> None:
        with self._lock:
            self.asked.append(what)
            self._under_way += 1
            self.peak = max(self.peak, self._under_way)

    def _done(self) -> None:
        with self._lock:
            self._under_way -= 1

    def _answer(self, numbers: list[int]) -> bytes:
        found = {f"EMPIAR-{number}": self.entries[number] for number in numbers}
        body = json.dumps(found, ensure_ascii=False).encode()
        return body[:-2] if self.broken & set(numbers) else body

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 2.0

            def do_GET(self) -> None:
                number = self.path.rstrip("/").rpartition("/")[2]
                api._note(f"GET {number}")
                known = number.isdecimal() and int(number) in api.entries
                status = 200 if known or api.unknown_is_empty else 404
                self._reply(status, [int(number)] if known else [])

            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                text = self.rfile.read(size).decode("ascii")
                api._note(f"POST {text}")
                self._reply(200, sorted(set(api.entries) & set(_numbers(text))))

            def log_message(self, *args: object) -> None:
                pass

            def _reply(self, status: int, numbers: list[int]) -> None:
                try:
                    failure = api._failure()
                    if failure is None:
                        self._send(status, api._answer(numbers))
                    else:
                        self._fail(failure)
                finally:
                    api._done()

            def _fail(self, failure: Failure) -> None:
                if failure == "busy":
                    self._send(429, b"{}", {"Retry-After": "0"})
                elif failure == "broken":
                    self._send(500, b"<h1>Oops</h1>", kind="text/html")
                elif failure == "broken_json":
                    self._send(200, b'{"EMPIAR-10934": {"title": ')
                elif failure == "login":
                    self._send(200, b"<html>Log in</html>", kind="text/html")
                elif failure == "other":
                    number = min(api.entries)
                    self._send(200, api._answer([number]))
                elif failure == "list":
                    self._send(200, b"[]")
                elif failure == "refused":
                    self._send(403, b"{}")
                elif failure == "silent":
                    api._released.wait()
                    self.close_connection = True
                else:
                    self.send_response(200)
                    self.send_header("Content-Length", "1000")
                    self.end_headers()
                    self.wfile.write(b'{"EMPIAR')
                    self.close_connection = True

            def _send(
                self,
                status: int,
                body: bytes,
                headers: Mapping[str, str] | None = None,
                kind: str = _JSON,
            ) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                if api.packs and "gzip" in self.headers.get("Accept-Encoding", ""):
                    body = gzip.compress(body)
                    self.send_header("Content-Encoding", "gzip")
                self.send_header("Content-Length", str(len(body)))
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        return Handler


def _numbers(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        found += range(int(first), int(last if dash else first) + 1)
    return found


def documents(entries: Mapping[int, Fields]) -> dict[int, bytes]:
    """Return the fields of each entry as the client hands them on."""
    return {number: json.dumps(fields).encode() for number, fields in entries.items()}
