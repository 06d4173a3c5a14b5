"""A server on this machine that speaks the OpenAI protocol and misbehaves as it is told.

    with Server(script={0: status(429, retry_after="0"), 3: half()}) as server:
        Endpoint(server.url, "test").write(requests, keep)

A script says what happens to a request by its number, counted from 0 in the order of arrival;
requests that it does not name are answered well.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]
Act = Callable[["Handler", Body], None]
"""what is done with one request"""
Script = Mapping[int, Act] | Callable[[int, Body], Act | None]


@dataclass
class Seen:
    """A request as it came in."""

    path: str
    headers: dict[str, str]
    """by name in lower case"""
    body: Body
    at: float
    """seconds of `time.monotonic`"""


def user_of(body: Body) -> str:
    """What the user said, of a request."""
    return str(body["messages"][-1]["content"])


def echo(body: Body) -> str:
    """The default answer: the user's words."""
    return f"You said: {user_of(body)}"


def ok(
    text: str | None = None, *, finish: str = "stop", usage: bool = True, delay: float = 0.0
) -> Act:
    """A proper reply: ``text``, or what the server's ``answer`` says."""

    def act(handler: Handler, body: Body) -> None:
        time.sleep(delay)
        said = handler.owner.answer(body) if text is None else text
        handler.send_json(200, completion(said, body, finish, usage))

    return act


def completion(said: str, body: Body, finish: str = "stop", usage: bool = True) -> Body:
    """A chat completion; its tokens are words."""
    read = sum(len(message["content"].split()) for message in body["messages"])
    counts = {"prompt_tokens": read, "completion_tokens": len(said.split())}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": said},
        "finish_reason": finish,
    }
    made: Body = {"id": "x", "object": "chat.completion", "choices": [choice]}
    if usage:
        made["usage"] = {**counts, "total_tokens": sum(counts.values())}
    return made


def status(code: int, message: str = "no", *, retry_after: str | None = None) -> Act:
    """An error of the protocol."""

    def act(handler: Handler, body: Body) -> None:
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        handler.send_json(code, {"error": {"message": message}}, headers)

    return act


def raw(data: bytes, *, code: int = 200, promised: int | None = None) -> Act:
    """Bytes as they are; with ``promised``, fewer than the header says, and then the end."""

    def act(handler: Handler, body: Body) -> None:
        handler.send_head(code, len(data) if promised is None else promised)
        handler.wfile.write(data)
        handler.close_connection = handler.close_connection or promised is not None

    return act


def half() -> Act:
    """Half a JSON, well framed."""
    return raw(json.dumps(completion("cut", {"messages": []}))[:60].encode())


def torn() -> Act:
    """Half of the bytes that were promised, then a closed connection."""
    return raw(b'{"choices": [', promised=500)


def wrong() -> Act:
    """JSON that is no completion."""
    return raw(b'{"choices": []}')


def hang() -> Act:
    """Nothing, until the server closes."""
    return lambda handler, body: handler.wait()


def drip(pause: float = 0.05) -> Act:
    """One byte after the other, without an end."""

    def act(handler: Handler, body: Body) -> None:
        handler.send_head(200, 10**6)
        while not handler.owner.closing.wait(pause):
            handler.wfile.write(b" ")
            handler.wfile.flush()

    return act


def huge(size: int = 64 * 2**20) -> Act:
    """A body of ``size`` bytes."""

    def act(handler: Handler, body: Body) -> None:
        handler.send_head(200, size)
        block = b" " * 2**16
        for _ in range(size // len(block)):
            handler.wfile.write(block)
            handler.owner.sent += len(block)

    return act


@dataclass
class Server:
    """The server; a context manager that listens on a free port of 127.0.0.1.

    Attributes:
        answer: what is said to a request that is answered well.
        script: what happens to single requests.
        refuses: types of ``response_format`` that are answered with 400.
        key: the key that is asked for; None for none.
        delay: seconds that every request takes.
        seen: all requests.
        most: most requests that were in work at once.
        sent: bytes sent by `huge`.
    """

    answer: Callable[[Body], str] = echo
    script: Script = field(default_factory=dict)
    refuses: tuple[str, ...] = ()
    key: str | None = None
    delay: float = 0.0
    seen: list[Seen] = field(default_factory=list)
    most: int = 0
    sent: int = 0
    closing: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Server:
        self._lock = threading.Lock()
        self._busy = 0
        handler = type("Bound", (Handler,), {"owner": self})
        self._http = _Listener(("127.0.0.1", 0), handler)
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()

    @property
    def address(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def url(self) -> str:
        """What a user would give."""
        return f"{self.address}/v1"

    @property
    def count(self) -> int:
        """Requests so far."""
        return len(self.seen)

    def enter(self, seen: Seen) -> int:
        """Count a request in; its number."""
        with self._lock:
            self.seen.append(seen)
            self._busy += 1
            self.most = max(self.most, self._busy)
            return len(self.seen) - 1

    def leave(self) -> None:
        """Count a request out."""
        with self._lock:
            self._busy -= 1

    def act_for(self, number: int, seen: Seen) -> Act:
        """What is done with a request."""
        if seen.path != "/v1/chat/completions":
            return status(404, f"no {seen.path} here")
        if self.key is not None and seen.headers.get("authorization") != f"Bearer {self.key}":
            return status(401, "wrong key")
        asked = seen.body.get("response_format", {}).get("type")
        if asked in self.refuses:
            return status(400, f"response_format {asked} is not supported")
        if callable(self.script):
            return self.script(number, seen.body) or ok()
        return self.script.get(number) or ok()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that give up are what is tested; no traceback."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    owner: Server
    protocol_version = "HTTP/1.1"
    wbufsize = 2**16
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Read a request and do what the script says."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.owner.closing.is_set():  # the listener is gone; connections from before are too
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.path, headers, body, time.monotonic())
        number = self.owner.enter(seen)
        try:
            time.sleep(self.owner.delay)
            self.owner.act_for(number, seen)(self, body)
            self.wfile.flush()
        finally:
            self.owner.leave()

    def wait(self) -> None:
        """Say nothing until the server closes."""
        self.owner.closing.wait()
        self.close_connection = True

    def send_head(self, code: int, length: int, headers: Mapping[str, str] | None = None) -> None:
        """Status and headers."""
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()

    def send_json(self, code: int, body: Body, headers: Mapping[str, str] | None = None) -> None:
        """A whole answer."""
        data = json.dumps(body).encode()
        self.send_head(code, len(data), headers)
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""
