"""A writer behind an OpenAI-compatible address.

Requests go out side by side, at most ``concurrency`` at once. An attempt that a busy, broken or
silent server spoils is made again after a pause that doubles and is drawn at random below its
ceiling ("full jitter"); a server that says how long to wait is left alone for as long. Proxies of
the environment are used, though never for this machine itself; certificates are always checked and
redirects never followed, so that the key goes to the address that was given and to no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import os
import queue
import random
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx2

from lorepack.errors import InputError, LorepackError
from lorepack.synthesis.writers.protocol import (
    BrokenError,
    Dialect,
    base_of,
    read_reply,
    retry_after,
    said,
)
from lorepack.synthesis.writers.writer import Keep, Reply, Request

KEYS = ("LOREPACK_API_KEY", "OPENAI_API_KEY")
MOST_BYTES = 8 * 2**20
"""of a reply's body; more is not read"""
_BUSY = (408, 409, 429)  # and all from 500 on: another attempt may succeed
_LONGEST_PAUSE = 60.0  # seconds
_STOP = 5.0  # seconds for the network's thread to end
_CONNECT = 10.0  # seconds to reach a server; an answer may take the whole timeout
_ROUND = 16  # requests whose every attempt fails in a row before a server is given up

Tell = Callable[[tuple[int, Reply] | None], None]


class Endpoint:
    """A model behind an address.

    Args:
        url: of the server, with or without ``/v1``.
        model: what the server calls it.
        key_from: environment variables that may hold the key; the first that is set counts. It is
            read when writing begins, and is never stored or shown.
        concurrency: most requests at once.
        timeout: seconds for one attempt as a whole, from connecting to the last byte.
        attempts: most attempts at one request.
        prices: US dollars for a million tokens, read and written.
        pause: seconds below which the first pause is drawn; each next one doubles it.

    Attributes:
        attempted: attempts so far.
        unknown_usage: replies whose tokens the server did not count; they count as 0.

    Raises:
        InputError: a value that cannot be used.
    """

    context: int | None = None

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key_from: Sequence[str] = KEYS,
        concurrency: int = 16,
        timeout: float = 120.0,
        attempts: int = 6,
        prices: tuple[float, float] | None = None,
        pause: float = 0.5,
    ) -> None:
        self.url = base_of(url)
        self.model = model
        self.key_from = tuple(key_from)
        self.concurrency, self.timeout, self.attempts = concurrency, timeout, attempts
        self.prices, self.pause = prices, pause
        self.attempted = self.unknown_usage = 0
        self._dialect = Dialect()
        self._spoilt = 0  # attempts in a row, of all requests, that brought nothing
        self._resume = 0.0  # time of the loop before which the server is left alone
        self._check()

    @property
    def identity(self) -> str:
        """The address and the model's name."""
        return f"{self.url} {self.model}"

    def write(self, requests: Sequence[Request], keep: Keep) -> None:
        """Answer all requests; ``keep`` is called from the caller's own thread.

        The network has a thread and an event loop of its own: the caller may be inside a running
        loop, and a slow ``keep`` stops no clock.

        Raises:
            InputError: a wrong key, no such model or address.
            LorepackError: nobody listens, or the server only ever fails.
        """
        if not requests:
            return
        key = self._key()
        arrived: queue.SimpleQueue[tuple[int, Reply] | None] = queue.SimpleQueue()
        with _running(self._write(requests, key, arrived.put), lambda: arrived.put(None)):
            try:
                for index, reply in iter(arrived.get, None):
                    keep(index, reply)
            except KeyboardInterrupt:
                while not arrived.empty() and (entry := arrived.get()) is not None:
                    keep(*entry)  # it has been paid for
                raise

    def _check(self) -> None:
        for name, value in (("concurrency", self.concurrency), ("attempts", self.attempts)):
            if value < 1:
                raise InputError(f"{name}: got {value}; expected 1 or more")
        for name, seconds in (("timeout", self.timeout), ("pause", self.pause)):
            if not 0 < seconds < math.inf:
                raise InputError(f"{name}: got {seconds}; expected seconds above 0")
        if any(not 0 <= price < math.inf for price in self.prices or ()):
            raise InputError(f"prices: got {self.prices}; expected dollars for a million tokens")
        if not self.model:
            raise InputError("model: no name; expected what the server calls the model")
        try:
            httpx2.URL(self.url)
        except httpx2.InvalidURL as error:
            raise InputError(f"endpoint: not an address ({error})") from None

    def _key(self) -> str | None:
        for name in self.key_from:
            key = os.environ.get(name, "").strip()
            if key and not (key.isascii() and key.isprintable()):
                raise InputError(f"{name}: holds characters that no key has; set it again")
            if key:
                return key
        return None

    async def _write(self, requests: Sequence[Request], key: str | None, tell: Tell) -> None:
        self._spoilt, self._resume = 0, 0.0
        todo = iter(enumerate(requests))
        async with self._client(key) as client:

            async def work() -> None:
                for index, request in todo:
                    tell((index, await self._answer(client, request, key)))

            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(self.concurrency, len(requests))):
                        group.create_task(work())
            except BaseExceptionGroup as failures:
                raise failures.exceptions[0] from None

    def _client(self, key: str | None) -> httpx2.AsyncClient:
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        most = self.concurrency
        try:
            return httpx2.AsyncClient(
                headers=headers,
                timeout=httpx2.Timeout(None, connect=min(self.timeout, _CONNECT)),
                limits=httpx2.Limits(max_connections=most, max_keepalive_connections=most),
                trust_env=not _is_here(self.url),
            )
        except (ImportError, OSError, ValueError, httpx2.InvalidURL) as error:
            raise InputError(
                f"a proxy or certificate file that the environment names cannot be used: {error}"
            ) from None

    async def _answer(self, client: httpx2.AsyncClient, request: Request, key: str | None) -> Reply:
        """The reply to one request, after as many attempts as it takes."""
        problem = ""
        silent = False
        for attempt in range(self.attempts):
            await self._rest(attempt)
            try:
                reply, counted = await self._attempt(client, request, key)
            except (_SpoiltError, BrokenError, httpx2.RequestError, TimeoutError) as error:
                silent = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
                problem = self._problem(error, key)
                self._count_spoilt(problem)
                continue
            except _RefusedError as error:
                return Reply(failed=str(error))
            self._spoilt = 0
            self.unknown_usage += not counted
            return self._priced(reply) if counted else reply
        if silent:
            raise LorepackError(
                f"{self.url}: nobody listens there ({problem}; {self.attempts} attempts); "
                "check the address, and that the server runs"
            )
        return Reply(failed=f"{problem} ({self.attempts} attempts)")

    async def _rest(self, attempt: int) -> None:
        """Pause before an attempt that is not the first, and while the server wants none."""
        if attempt:
            ceiling = min(self.pause * 2.0 ** min(attempt - 1, 32), _LONGEST_PAUSE)
            await asyncio.sleep(random.uniform(0, ceiling))
        clock = asyncio.get_running_loop().time
        while (left := self._resume - clock()) > 0:
            await asyncio.sleep(left)

    async def _attempt(
        self, client: httpx2.AsyncClient, request: Request, key: str | None
    ) -> tuple[Reply, bool]:
        """One attempt; where the server refuses how it is worded, it is worded otherwise."""
        begun = dialect = self._dialect
        while True:
            self.attempted += 1
            async with asyncio.timeout(self.timeout):
                response, data = await self._post(client, dialect.body(self.model, request))
            if response.status_code == 200:
                found = read_reply(data)
                if dialect is not begun:
                    self._dialect = dialect  # it worked: remembered
                return found
            self._raise_for(response, data, key)
            simpler = dialect.simpler(request, data)
            if response.status_code not in (400, 422) or simpler is None:
                raise _RefusedError(f"refused: {response.status_code} {said(data, key)}")
            dialect = simpler

    async def _post(self, client: httpx2.AsyncClient, body: bytes) -> tuple[httpx2.Response, bytes]:
        """Send; read no more than `MOST_BYTES`."""
        async with client.stream("POST", f"{self.url}/chat/completions", content=body) as response:
            promised = response.headers.get("Content-Length", "")
            data = bytearray()
            if not (promised.isdecimal() and int(promised) > MOST_BYTES):
                async for chunk in response.aiter_bytes():
                    data += chunk
                    if len(data) > MOST_BYTES:
                        break
                else:
                    return response, bytes(data)
        raise _RefusedError(f"the reply has more than {MOST_BYTES // 2**20} MiB; left unread")

    def _raise_for(self, response: httpx2.Response, data: bytes, key: str | None) -> None:
        """Raise for a status that ends all, or that another attempt may mend."""
        code = response.status_code
        if code in _BUSY or code >= 500:
            wait = retry_after(response.headers.get("Retry-After"), _LONGEST_PAUSE)
            now = asyncio.get_running_loop().time()
            self._resume = max(self._resume, now + wait)
            raise _SpoiltError(f"{code} {said(data, key)}")
        if code in (401, 403):
            names = " or ".join(self.key_from)
            has = "no key was found there" if key is None else "the one found there does not do"
            raise InputError(
                f"{self.url}: access refused ({code}); the key is read from the environment "
                f"variable {names}: {has}"
            )
        if code == 404:
            raise InputError(
                f"{self.url}: no such address, or no model {self.model!r} ({said(data, key)}); "
                "check both"
            )
        if 300 <= code < 400:
            raise InputError(
                f"{self.url}: sends on to another address ({code}), which is not followed; give "
                "the final address"
            )

    def _problem(self, error: Exception, key: str | None) -> str:
        """What spoilt an attempt, in one line."""
        if isinstance(error, TimeoutError):
            return f"no whole reply within {self.timeout:g} s"
        told = said(str(error).encode(), key) if str(error) else ""
        if isinstance(error, httpx2.RequestError):
            return f"{type(error).__name__}: {told}" if told else type(error).__name__
        return told

    def _count_spoilt(self, problem: str) -> None:
        """Give a server up that has answered nobody for a whole round of requests."""
        self._spoilt += 1
        most = self.attempts * max(self.concurrency, _ROUND)
        if self._spoilt > most:
            raise LorepackError(
                f"{self.url}: {most} attempts in a row brought no reply (the last: {problem}); "
                "try again later: what was written is kept"
            )

    def _priced(self, reply: Reply) -> Reply:
        if self.prices is None:
            return reply
        read, written = self.prices
        cost = (reply.prompt_tokens * read + reply.completion_tokens * written) / 1e6
        return replace(reply, cost=cost)


class _SpoiltError(Exception):
    """An attempt that another one may mend."""


class _RefusedError(Exception):
    """A request that will never get a reply."""


@contextlib.contextmanager
def _running(work: Coroutine[Any, Any, None], ended: Callable[[], None]) -> Iterator[None]:
    """Run ``work`` in an event loop and thread of its own during the block.

    When the block fails or is interrupted, the work is cancelled.

    Args:
        work: what to run.
        ended: called, in that thread, when the work is over in whatever way.

    Raises:
        Exception: what the work raised, where the block ended well.
    """
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            loop.run_until_complete(task)
            loop.run_until_complete(loop.shutdown_asyncgens())
        except BaseException as failure:
            failures.append(failure)
        finally:
            loop.close()  # waits for no look-up of a name that may still hang
            ended()

    thread = threading.Thread(target=run, name="lorepack-endpoint", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        with contextlib.suppress(RuntimeError):  # the loop may just have ended
            loop.call_soon_threadsafe(task.cancel)
        raise
    finally:
        thread.join(_STOP)
    if failures:
        raise failures[0]


def _is_here(url: str) -> bool:
    """Whether an address is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
