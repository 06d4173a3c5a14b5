"""The chat completions of OpenAI's protocol: what is sent and what a reply says. No network here.

Servers differ in what they take. A `Dialect` begins with the whole protocol; what a server refuses
is left out of the next one.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from lorepack.errors import InputError
from lorepack.synthesis.writers.writer import Reply, Request

FORMATS = ("json_schema", "json_object", "none")
"""how a reply's shape is asked for, from the strictest"""
_SEEDS = 2**31  # the servers' smallest integer
_QUOTED = 200  # characters of a server's own words in a message
_UNSUPPORTED = ("unsupported_parameter", "unsupported_value")
_VERSION = re.compile(r"v\d\w*")


class BrokenError(Exception):
    """A reply that is no completion; another attempt may bring one."""


def base_of(url: str) -> str:
    """The address below which ``/chat/completions`` is found.

    Args:
        url: of a server, with or without ``/v1``; ``/v1`` is added where no version is named.

    Raises:
        InputError: not http or https, no host, or parts that an address may not have here.
    """
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"endpoint: not an address ({error}); expected {_EXAMPLE}") from None
    if parts.username or parts.password or parts.query or parts.fragment or "@" in parts.netloc:
        # Not shown: it may hold a key.
        raise InputError(
            "endpoint: the address holds a user, a query or a fragment; give the plain address, "
            "and the key in the environment"
        )
    if parts.scheme not in ("http", "https") or not host:
        raise InputError(f"endpoint: got {url!r}; expected {_EXAMPLE}")
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    if not any(_VERSION.fullmatch(part) for part in path.split("/")):
        path += "/v1"
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


_EXAMPLE = "an address like http://localhost:8000/v1"


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one server was found to understand.

    Attributes:
        format: place in `FORMATS` of the strictest that it takes.
        limit: what it calls the most tokens of a reply.
        temperature: whether it lets the caller choose one.
        seed: whether it takes one.
    """

    format: int = 0
    limit: str = "max_tokens"
    temperature: bool = True
    seed: bool = True

    def body(self, model: str, request: Request) -> bytes:
        """A request as the server's JSON."""
        messages = [{"role": "user", "content": request.user}]
        if request.system:
            messages.insert(0, {"role": "system", "content": request.system})
        asked: dict[str, Any] = {
            "model": model,
            "messages": messages,
            self.limit: request.max_tokens,
        }
        if self.temperature:
            asked["temperature"] = request.temperature
        if self.seed and request.temperature > 0:
            asked["seed"] = request.seed % _SEEDS
        if request.schema is not None and FORMATS[self.format] != "none":
            asked["response_format"] = self._format(request)
        return json.dumps(asked).encode()

    def _format(self, request: Request) -> dict[str, Any]:
        kind = FORMATS[self.format]
        if kind == "json_object":
            return {"type": kind}
        name = re.sub(r"\W", "_", request.task.prompt, flags=re.ASCII)[:64] or "reply"
        return {"type": kind, "json_schema": {"name": name, "schema": dict(request.schema or {})}}

    def simpler(self, request: Request, refusal: bytes) -> Dialect | None:
        """Another way to ask what was refused with status 400 or 422.

        Args:
            request: what was refused.
            refusal: the body that came with it.

        Returns:
            This dialect without what the refusal is about, or else with the next looser format;
            None where there is no other way.
        """
        error = _error(refusal)
        unsupported = error.get("param") if error.get("code") in _UNSUPPORTED else None
        if unsupported == self.limit == "max_tokens":
            return replace(self, limit="max_completion_tokens")
        if unsupported == "temperature" and self.temperature:
            return replace(self, temperature=False)
        named = refusal[: 2**16].decode("utf-8", "replace")
        if self.seed and request.temperature > 0 and re.search(r"\bseed\b", named):
            return replace(self, seed=False)
        if request.schema is not None and FORMATS[self.format] != "none":
            return replace(self, format=self.format + 1)
        return None


def read_reply(data: bytes) -> tuple[Reply, bool]:
    """What a completion says, without its cost.

    Args:
        data: the body of an answer with status 200.

    Returns:
        The reply, and whether the server counted its tokens; where not, they are 0.

    Raises:
        BrokenError: half a JSON, another JSON, or no text.
    """
    try:
        found = json.loads(data)
        choice = found["choices"][0]
        text, reason = choice["message"].get("content"), choice.get("finish_reason")
    except (ValueError, RecursionError) as error:
        raise BrokenError(f"not JSON: {_short(str(error))}") from None
    except (LookupError, TypeError, AttributeError):
        raise BrokenError("JSON that is no completion") from None
    cut = reason == "length"
    if not isinstance(text, str) or not (text or cut):
        if not cut:
            raise BrokenError(f"no text in the reply (finish_reason {reason!r})")
        text = ""
    counts = _counts(found.get("usage"))
    read, written = counts or (0, 0)
    reply = Reply(_clean(text), None, read, written, finished=not cut)
    return reply, counts is not None


def _counts(usage: Any) -> tuple[int, int] | None:
    """Tokens read and written, where a server counted both."""
    usage = usage if isinstance(usage, dict) else {}
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if type(read) is not int or type(written) is not int or min(read, written) < 0:
        return None
    return read, written


def _clean(text: str) -> str:
    """Text that UTF-8 can hold: halves of surrogate pairs, which JSON can, are replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def said(data: bytes, secret: str | None) -> str:
    """A server's own words about an error: one short line, without the key."""
    message = _error(data).get("message")
    words = message if isinstance(message, str) else data[:4096].decode("utf-8", "replace")
    if secret:
        words = words.replace(secret, "…")
    return _short(_clean(words)) or "no reason given"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _QUOTED else f"{line[:_QUOTED]}…"


def _error(data: bytes) -> dict[str, Any]:
    """The error object of a refusal; empty where there is none."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    error = found.get("error", found) if isinstance(found, dict) else {}
    return error if isinstance(error, dict) else {"message": error}


def retry_after(value: str | None, longest: float) -> float:
    """Seconds that a ``Retry-After`` header asks for, by number or date; 0 without one.

    Args:
        value: the header.
        longest: what is waited at most.
    """
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0.0
    return min(max(seconds, 0.0), longest) if seconds == seconds else 0.0
