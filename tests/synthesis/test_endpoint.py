"""A server may be busy, broken, silent or gone: every request is answered or says why not."""

from __future__ import annotations

import asyncio
import email.utils
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from lorepack.errors import InputError, LorepackError, WriteError
from lorepack.synthesis.writers import endpoint as room
from lorepack.synthesis.writers import writer_named
from lorepack.synthesis.writers.endpoint import Endpoint
from lorepack.synthesis.writers.protocol import Dialect, base_of, retry_after
from lorepack.synthesis.writers.writer import Reply, Request, Task

from .server import Body, Server, drip, half, hang, huge, ok, raw, status, torn, user_of, wrong

SCHEMA = {"type": "object", "properties": {"items": {"type": "array"}}}
KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in room.KEYS:
        monkeypatch.delenv(name, raising=False)


def requests(count: int, **values: Any) -> list[Request]:
    return [Request("Be brief.", f"number {i}", Task("qa", 1), **values) for i in range(count)]


def written(endpoint: Endpoint, asked: list[Request]) -> list[Reply]:
    """All replies in the order of the requests, each kept once, all from one thread."""
    found: dict[int, Reply] = {}
    threads = set()

    def keep(index: int, reply: Reply) -> None:
        assert index not in found
        found[index] = reply
        threads.add(threading.get_ident())

    endpoint.write(asked, keep)
    assert threads <= {threading.get_ident()}
    return [found[i] for i in range(len(asked))]


def writer(server: Server, **options: Any) -> Endpoint:
    return Endpoint(server.url, "tiny", **{"pause": 0.01, "timeout": 10, **options})


def test_every_request_is_answered_with_its_own_reply_and_its_tokens() -> None:
    with Server() as server:
        replies = written(writer(server, concurrency=4), requests(40, max_tokens=77))
    assert [reply.text for reply in replies] == [f"You said: number {i}" for i in range(40)]
    assert {(r.prompt_tokens, r.completion_tokens, r.cost) for r in replies} == {(4, 4, None)}
    assert all(reply.finished and reply.failed is None for reply in replies)
    body = server.seen[0].body
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert {k: body[k] for k in body if k != "messages"} == {
        "model": "tiny",
        "max_tokens": 77,
        "temperature": 0.0,
    }


def test_no_more_requests_than_allowed_are_under_way_and_as_many_as_that() -> None:
    with Server(delay=0.03) as server:
        written(writer(server, concurrency=5), requests(30))
    assert server.most == 5


def test_settings_of_a_request_reach_the_server() -> None:
    asked = requests(1, schema=SCHEMA, temperature=0.7, seed=2**40 + 5)
    with Server() as server:
        written(writer(server), asked)
    body = server.seen[0].body
    assert (body["temperature"], body["seed"]) == (0.7, 5)
    assert body["response_format"]["type"] == "json_schema"
    assert body["response_format"]["json_schema"] == {"name": "qa", "schema": SCHEMA}


def test_replies_are_kept_as_they_come() -> None:
    with Server(script={0: ok(delay=1.0)}) as server:
        order: list[int] = []
        writer(server, concurrency=2).write(requests(5), lambda i, _: order.append(i))
    assert sorted(order) == list(range(5))
    slow = order.index(next(i for i in range(2) if f"number {i}" == user_of(server.seen[0].body)))
    assert slow == 4


# --- busy, broken and silent servers ---------------------------------------------------------


@pytest.mark.parametrize(
    "spoilt",
    [status(code) for code in (408, 409, 429, 500, 502, 503, 529)]
    + [half(), wrong(), torn(), raw(b""), raw(b"[" * 100_000), ok(""), raw(b"null")],
)
def test_a_spoilt_attempt_is_made_again(spoilt: Any) -> None:
    with Server(script={0: spoilt, 1: spoilt}) as server:
        (reply,) = written(writer(server), requests(1))
        assert reply.text == "You said: number 0"
        assert server.count == 3


@pytest.mark.parametrize("silent", [hang(), drip()])
def test_a_server_that_hangs_or_drips_is_given_up_in_time(silent: Any) -> None:
    with Server(script={0: silent}) as server:
        begun = time.monotonic()
        (reply,) = written(writer(server, timeout=0.4), requests(1))
        assert 0.35 < time.monotonic() - begun < 3
    assert reply.text == "You said: number 0"


def test_a_request_that_never_succeeds_says_why_and_the_others_are_answered() -> None:
    def script(number: int, body: Body) -> Any:
        spoilt = {"number 1": status(500, "out of cheese"), "number 2": half(), "number 3": hang()}
        return spoilt.get(user_of(body))

    with Server(script=script) as server:
        replies = written(writer(server, attempts=3, timeout=0.3), requests(6))
    assert [bool(reply.failed) for reply in replies] == [False, True, True, True, False, False]
    assert replies[1] == Reply(failed="500 out of cheese (3 attempts)")
    assert replies[2].failed is not None
    assert "not JSON" in replies[2].failed
    assert replies[3] == Reply(failed="no whole reply within 0.3 s (3 attempts)")
    assert server.count == 3 + 3 * 3


def test_a_server_that_only_fails_is_given_up_and_what_was_kept_stays() -> None:
    kept: list[int] = []
    script = lambda number, body: None if number < 3 else status(500, "down")  # noqa: E731
    with (
        Server(script=script) as server,
        pytest.raises(LorepackError, match=r"32 attempts in a row .*500 down"),
    ):
        writer(server, attempts=2, concurrency=1, pause=0.001).write(
            requests(200), lambda i, reply: kept.append(i) if not reply.failed else None
        )
    assert len(kept) == 3
    assert server.count == 3 + 33


def test_a_server_that_fails_now_and_then_is_not_given_up() -> None:
    with Server(script=lambda number, body: status(500) if number % 2 else None) as server:
        replies = written(writer(server, attempts=2, concurrency=1, pause=0.001), requests(50))
    assert not any(reply.failed for reply in replies)


def test_pauses_grow_and_stay_below_their_ceilings(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[float] = []

    def uniform(low: float, high: float) -> float:
        drawn.append(high)
        return 0.0

    monkeypatch.setattr(room.random, "uniform", uniform)
    monkeypatch.setattr(room, "_LONGEST_PAUSE", 0.3)
    with Server(script=lambda number, body: status(500)) as server:
        written(writer(server, pause=0.05, attempts=6), requests(1))
    assert drawn == [0.05, 0.1, 0.2, 0.3, 0.3]


@pytest.mark.parametrize("by_date", [False, True])
def test_a_server_that_names_a_pause_is_left_alone_by_all_requests(by_date: bool) -> None:
    named = email.utils.formatdate(time.time() + 2, usegmt=True) if by_date else "0.5"
    script = {0: status(429, retry_after=named)}
    with Server(script=script) as server:
        begun = time.monotonic()
        replies = written(writer(server, concurrency=1), requests(3))
    assert all(not reply.failed for reply in replies)
    assert server.seen[1].at - begun > 0.45
    assert server.count == 4


def test_what_a_retry_after_says_is_bounded() -> None:
    now = email.utils.formatdate(time.time() + 500, usegmt=True)
    past = email.utils.formatdate(time.time() - 500, usegmt=True)
    said = ["3", "1e9", "inf", "nan", "-4", now, past, "soon", "", None, "Thu, 99 Foo 1 1:1:1 GMT"]
    assert [retry_after(value, 60) for value in said] == [3, 60, 60, 0, 0, 60, 0, 0, 0, 0, 0]


def test_a_reply_beyond_the_bound_is_given_up_unread() -> None:
    with Server(script={0: huge(64 * 2**20)}) as server:
        (reply,) = written(writer(server), requests(1))
        assert reply.failed == "the reply has more than 8 MiB; left unread"
        assert (server.count, server.sent < 20 * 2**20) == (1, True)


def test_a_bound_holds_where_no_length_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_BYTES", 1000)

    def unframed(handler: Any, body: Body) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b" " * 5000)
        handler.close_connection = True

    with Server(script={0: unframed}) as server:
        (reply,) = written(writer(server), requests(1))
    assert reply.failed is not None
    assert "left unread" in reply.failed


# --- what ends all ------------------------------------------------------------------------------


def test_a_wrong_key_ends_all_at_once_and_names_the_variable_but_never_the_key(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    kept: list[int] = []
    with Server(key="another") as server, pytest.raises(InputError) as caught:
        writer(server, concurrency=3).write(requests(50), lambda i, _: kept.append(i))
    assert "LOREPACK_API_KEY or OPENAI_API_KEY: the one found there does not do" in str(
        caught.value
    )
    assert "(401)" in str(caught.value)
    assert server.count <= 3
    assert kept == []
    assert KEY not in str(caught.value) + "".join(capfd.readouterr())
    with Server(key="another") as server, pytest.raises(InputError, match="refused"):
        writer(server, key_from=["NOWHERE"]).write(requests(1), lambda i, _: None)


def test_a_key_that_a_server_repeats_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOREPACK_API_KEY", KEY)
    with Server(script={0: status(418, f"{KEY} is a teapot")}) as server:
        (reply,) = written(writer(server), requests(1))
    assert reply.failed == "refused: 418 … is a teapot"


def test_the_key_comes_from_the_environment_ours_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server() as server:
        endpoint = writer(server)
        written(endpoint, requests(1))
        monkeypatch.setenv("OPENAI_API_KEY", "theirs")
        written(endpoint, requests(1))
        monkeypatch.setenv("LOREPACK_API_KEY", " ours\n")
        written(endpoint, requests(1))
        monkeypatch.setenv("LOREPACK_API_KEY", "o\nurs")
        with pytest.raises(InputError, match="LOREPACK_API_KEY: holds characters"):
            endpoint.write(requests(1), lambda i, _: None)
    sent = [seen.headers.get("authorization") for seen in server.seen]
    assert sent == [None, "Bearer theirs", "Bearer ours"]
    assert "ours" not in repr(vars(endpoint)) + endpoint.identity


def test_a_missing_model_and_a_redirect_end_all_at_once() -> None:
    with (
        Server(script={0: status(404, "no model tiny")}) as server,
        pytest.raises(InputError, match=r"no model 'tiny' \(no model tiny\)"),
    ):
        writer(server, concurrency=1).write(requests(9), lambda i, _: None)
    assert server.count == 1
    with (
        Server(script={0: status(307)}) as server,
        pytest.raises(InputError, match=r"sends on to another address \(307\)"),
    ):
        writer(server, concurrency=1).write(requests(9), lambda i, _: None)


def test_nobody_listening_ends_after_all_attempts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    endpoint = Endpoint(f"http://127.0.0.1:{port}", "tiny", attempts=3, pause=0.01)
    with pytest.raises(LorepackError, match=r"nobody listens there .*; 3 attempts\)"):
        endpoint.write(requests(40), lambda i, _: None)
    assert endpoint.attempted <= 3 * 16


def test_a_server_that_goes_away_ends_all_and_what_was_kept_stays() -> None:
    kept: list[str] = []
    server = Server()

    def keep(index: int, reply: Reply) -> None:
        kept.append(reply.text)
        if len(kept) == 3:
            server.__exit__()

    with server, pytest.raises(LorepackError, match="nobody listens there"):
        writer(server, concurrency=1, attempts=3).write(requests(400), keep)
    assert 3 <= len(kept) < 400


def test_a_request_that_the_server_refuses_is_not_made_again() -> None:
    with Server(script={0: status(400, "too\n  long"), 1: status(402)}) as server:
        replies = written(writer(server, concurrency=1), requests(3))
    assert [r.failed for r in replies] == ["refused: 400 too long", "refused: 402 no", None]
    assert server.count == 3


# --- what servers do not understand --------------------------------------------------------------


@pytest.mark.parametrize(
    ("refuses", "formats"),
    [
        (("json_schema",), ["json_schema", "json_object", "json_object", "json_object"]),
        (("json_schema", "json_object"), ["json_schema", "json_object", None, None, None]),
    ],
)
def test_a_refused_format_is_loosened_once_and_remembered(
    refuses: tuple[str, ...], formats: list[str | None]
) -> None:
    with Server(refuses=refuses) as server:
        endpoint = writer(server, concurrency=1)
        replies = written(endpoint, requests(3, schema=SCHEMA))
        asked = [seen.body.get("response_format", {}).get("type") for seen in server.seen]
        assert asked == formats
        assert all(not reply.failed for reply in replies)
        written(endpoint, requests(1, schema=SCHEMA))
        assert server.count == len(formats) + 1


def test_a_refusal_that_no_other_wording_mends_is_not_remembered() -> None:
    long = lambda number, body: status(400, "too long") if number < 3 else None  # noqa: E731
    with Server(script=long) as server:
        replies = written(writer(server, concurrency=1), requests(2, schema=SCHEMA))
    assert replies[0].failed == "refused: 400 too long"
    assert server.seen[3].body["response_format"]["type"] == "json_schema"


def test_a_server_of_another_dialect_is_spoken_to_in_its_own() -> None:
    """As models that think: no temperature, another name for the limit, no seed."""

    def refuse(code: str, param: str, words: str) -> Any:
        error = {"error": {"code": code, "param": param, "message": words}}
        return raw(json.dumps(error).encode(), code=400)

    def script(number: int, body: Body) -> Any:
        if "max_tokens" in body:
            return refuse("unsupported_parameter", "max_tokens", "not supported")
        if "temperature" in body:
            return refuse("unsupported_value", "temperature", "only 1")
        if "seed" in body:
            return raw(b'{"detail": [{"loc": ["body", "seed"], "msg": "extra"}]}', code=422)
        return None

    with Server(script=script) as server:
        endpoint = writer(server, concurrency=1)
        replies = written(endpoint, requests(2, temperature=0.5, seed=3, max_tokens=9))
    assert [reply.failed for reply in replies] == [None, None]
    assert server.count == 5
    assert set(server.seen[-1].body) == {"model", "messages", "max_completion_tokens"}


def test_too_long_a_prompt_does_not_change_what_the_limit_is_called() -> None:
    told = b'{"error": {"message": "max_tokens is too large: the context has 512", "code": 400}}'
    assert Dialect().simpler(requests(1)[0], told) is None


# --- what a reply says ---------------------------------------------------------------------------


def test_a_reply_that_was_cut_off_is_known() -> None:
    empty = raw(b'{"choices": [{"message": {"content": null}, "finish_reason": "length"}]}')
    with Server(script={0: ok("half a", finish="length"), 1: empty}) as server:
        replies = written(writer(server, concurrency=1), requests(3))
    assert [(r.text, r.finished) for r in replies] == [
        ("half a", False),
        ("", False),
        ("You said: number 2", True),
    ]


def test_tokens_that_a_server_does_not_count_are_not_invented() -> None:
    script = {0: ok(usage=False), 1: raw(_with_usage({"prompt_tokens": "7"}))}
    with Server(script=script) as server:
        endpoint = writer(server, concurrency=1, prices=(1.0, 2.0))
        replies = written(endpoint, requests(3))
    assert [r.prompt_tokens for r in replies] == [0, 0, 4]
    assert [r.cost for r in replies] == [None, None, pytest.approx((4 * 1 + 4 * 2) / 1e6)]
    assert (endpoint.unknown_usage, endpoint.attempted) == (2, 3)


def _with_usage(usage: dict[str, Any]) -> bytes:
    choice = {"message": {"content": "x"}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


def test_halves_of_characters_reach_no_file() -> None:
    data = b'{"choices": [{"message": {"content": "a\\ud83d b\\ud83d\\ude00"}}]}'
    with Server(script={0: raw(data)}) as server:
        asked = [Request("", "lone \ud83d half", Task("qa", 1))]
        (reply,) = written(writer(server), asked)
    assert reply.text == "a� b😀"
    assert server.seen[0].body["messages"] == [{"role": "user", "content": "lone \ud83d half"}]


# --- the caller ------------------------------------------------------------------------------


def test_writing_works_inside_a_running_loop() -> None:
    async def notebook() -> list[Reply]:
        return written(writer(server), requests(3))

    with Server() as server:
        assert all(not reply.failed for reply in asyncio.run(notebook()))


def test_a_keep_that_fails_ends_all_with_its_own_error() -> None:
    def keep(index: int, reply: Reply) -> None:
        raise WriteError("disk full")

    with Server(script=lambda number, body: hang() if number else None) as server:
        begun = time.monotonic()
        with pytest.raises(WriteError, match="disk full"):
            writer(server).write(requests(9), keep)
        assert time.monotonic() - begun < 3


def test_no_requests_no_network() -> None:
    Endpoint("http://127.0.0.1:9", "tiny").write([], lambda i, _: None)


def test_an_interrupt_stops_at_once_and_what_was_kept_stays(tmp_path: Path) -> None:
    program = """
        import sys
        from lorepack.synthesis.writers.endpoint import Endpoint
        from lorepack.synthesis.writers.writer import Request, Task

        def keep(index, reply):
            with open(sys.argv[2], "a") as handle:
                handle.write(f"{reply.text}\\n")

        asked = [Request("", f"number {i}", Task("qa", 1)) for i in range(9)]
        Endpoint(sys.argv[1], "tiny", concurrency=3).write(asked, keep)
    """
    out = tmp_path / "kept"
    first = ("number 0", "number 1")
    script = lambda number, body: None if user_of(body) in first else hang()  # noqa: E731
    with Server(script=script) as server:
        command = [sys.executable, "-c", textwrap.dedent(program), server.url, str(out)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, env=dict(os.environ))
        while not (out.exists() and out.read_text().count("\n") == 2 and server.count == 5):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        _, told = process.communicate(timeout=20)
        assert time.monotonic() - begun < 3
    assert told.strip().endswith(b"KeyboardInterrupt")
    assert set(out.read_text().splitlines()) == {"You said: number 0", "You said: number 1"}


def test_proxies_of_the_environment_are_not_used_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Server() as server:
        assert not written(writer(server), requests(1))[0].failed
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Server() as proxy:  # what is for elsewhere goes through it
        monkeypatch.setenv("HTTP_PROXY", proxy.address)
        monkeypatch.setenv("http_proxy", proxy.address)
        with pytest.raises(InputError, match="no such address"):
            written(Endpoint("http://models.invalid", "tiny"), requests(1))
        assert proxy.seen[0].path == "http://models.invalid/v1/chat/completions"


def test_a_proxy_that_cannot_be_used_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://nowhere")
    with pytest.raises(InputError, match="that the environment names cannot be used"):
        written(Endpoint("https://models.invalid", "tiny"), requests(1))


# --- addresses and names -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("http://localhost:8000/", "http://localhost:8000/v1"),
        (" https://API.openai.com/v1/ ", "https://api.openai.com/v1"),
        ("http://h/v1/chat/completions", "http://h/v1"),
        ("https://openrouter.ai/api", "https://openrouter.ai/api/v1"),
        ("https://h/v1beta/openai/", "https://h/v1beta/openai"),
        ("http://[::1]:80", "http://[::1]:80/v1"),
    ],
)
def test_an_address_is_taken_with_and_without_its_version(given: str, base: str) -> None:
    assert base_of(given) == base
    assert Endpoint(given, "tiny").identity == f"{base} tiny"


@pytest.mark.parametrize(
    "given",
    [
        "localhost:8000",
        "ftp://h",
        "file:///etc/passwd",
        "",
        "http://",
        "http://h:99999",
        "http://[1",
    ],
)
def test_what_is_no_web_address_is_refused(given: str) -> None:
    with pytest.raises(InputError, match=r"endpoint: .*expected an address like http"):
        Endpoint(given, "tiny")


@pytest.mark.parametrize("given", [f"http://u:{KEY}@h", f"http://h?key={KEY}", f"http://h#{KEY}"])
def test_an_address_that_holds_a_key_is_refused_and_not_shown(given: str) -> None:
    with pytest.raises(InputError, match="give the plain address") as caught:
        Endpoint(given, "tiny")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"attempts": 0},
        {"timeout": 0},
        {"timeout": float("nan")},
        {"pause": -1.0},
        {"prices": (1.0, -1.0)},
        {"model": ""},
    ],
)
def test_a_wrong_value_is_named(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(InputError, match=f"{name}: "):
        Endpoint(**{"url": "http://h", "model": "tiny", **options})


def test_a_writer_is_found_by_its_name() -> None:
    with Server() as server:
        found = writer_named("tiny", endpoint=server.url, concurrency=3, timeout=9, prices=(1, 2))
        assert isinstance(found, Endpoint)
        assert (found.concurrency, found.timeout, found.prices) == (3, 9, (1, 2))
    with pytest.raises(InputError, match="prices: only a server's tokens"):
        writer_named("world", prices=(1, 2))
    with pytest.raises(LorepackError):
        writer_named("./no-such-folder")
