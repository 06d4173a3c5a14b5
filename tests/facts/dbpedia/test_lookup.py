"""Names from an endpoint: gently, none twice, and whatever it answers, what was found is kept."""

from __future__ import annotations

import email.utils
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from lorepack import __version__, facts
from lorepack.errors import InputError
from lorepack.facts.dbpedia import lookup
from lorepack.facts.dbpedia.lookup import Endpoint, look_up
from lorepack.facts.importing import Options, import_facts

R = "http://dbpedia.org/resource/"
IRIS = [f"{R}E{n:02}" for n in range(10)]
Answer = tuple[int, dict[str, str], bytes]


def results(rows: list[tuple[str, str, str]], **headers: str) -> Answer:
    """A good answer; a row is an entity, ``literal`` or ``uri``, and a name."""
    bindings = [
        {"entity": {"type": "uri", "value": entity}, "name": {"type": kind, "value": name}}
        for entity, kind, name in rows
    ]
    return 200, headers, json.dumps({"results": {"bindings": bindings}}).encode()


class Server(ThreadingHTTPServer):
    """An endpoint that knows two names of every entity, but for what a test puts first."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.queries: list[list[str]] = []
        self.texts: list[str] = []
        self.agents: list[str] = []
        self.first: list[Answer | Callable[[], Answer]] = []
        self.most = 10_000

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/sparql"

    def answer(self, query: str, agent: str) -> Answer:
        asked = re.findall("<([^>]+)>", query[query.index("VALUES") : query.index("UNION")])
        self.queries.append(asked)
        self.texts.append(query)
        self.agents.append(agent)
        if self.first:
            given = self.first.pop(0)
            return given() if callable(given) else given
        rows = [(iri, "literal", f"{iri[-3:]} label") for iri in asked]
        rows += [(iri, "uri", f"{R}Old_{iri[-3:]}") for iri in asked]
        return results(rows[: self.most], **{"X-SPARQL-MaxRows": str(self.most)})


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        agent = self.headers["User-Agent"]
        code, headers, data = self.server.answer(parse_qs(body)["query"][0], agent)
        self.send_response(code)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def endpoint(server: Server, tmp_path: Path) -> Endpoint:
    return Endpoint(server.url, tmp_path / "a.sqlite", rate=1e6, batch=4)


class Waits(list[float]):
    """Seconds that were waited for, without waiting."""

    __call__ = list.append


def test_labels_and_redirects_come_in_batches(server: Server, endpoint: Endpoint) -> None:
    found = look_up(IRIS, endpoint)
    assert found.names == {iri: [f"{iri[-3:]} label", f"Old {iri[-3:]}"] for iri in IRIS}
    assert server.queries == [IRIS[:4], IRIS[4:8], IRIS[8:]]
    assert set(server.agents) == {f"lorepack/{__version__}"}
    assert (found.asked, found.missing, found.broken) == (10, 0, None)
    assert all('langMatches(lang(?name), "en")' in text for text in server.texts)


def test_no_entity_is_asked_for_twice(server: Server, endpoint: Endpoint) -> None:
    first = look_up(IRIS[:6], endpoint)
    again = look_up(IRIS, endpoint)
    asked = [iri for query in server.queries for iri in query]
    assert sorted(asked) == IRIS
    assert (again.cached, again.asked) == (6, 4)
    assert first.names.items() <= again.names.items()
    look_up(IRIS, replace(endpoint, language="de"))
    assert len(server.queries) == 6


def test_a_run_that_was_killed_goes_on(server: Server, endpoint: Endpoint) -> None:
    def kill(known: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look_up(IRIS, endpoint, progress=kill)
    assert len(look_up(IRIS, endpoint).names) == 10
    assert server.queries == [IRIS[:4], IRIS[4:8], IRIS[8:]]


def hung() -> Answer:
    time.sleep(1.5)
    return results([])


@pytest.mark.parametrize(
    ("trouble", "waits"),
    [
        ((429, {"Retry-After": "7"}, b""), [7.0]),
        ((429, {}, b""), [2.0]),
        ((500, {}, b"oops"), [2.0]),
        ((503, {"Retry-After": "0"}, b""), [0.0]),
        ((200, {}, b'{"results": {"bindings": [{"enti'), [2.0]),
        ((200, {"Content-Length": "500"}, b'{"results"'), [2.0]),
        ((200, {}, b'["no results"]'), [2.0]),
        (hung, [2.0]),
    ],
)
def test_what_may_pass_is_tried_again(
    server: Server,
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
    trouble: Any,
    waits: list[float],
) -> None:
    monkeypatch.setattr(lookup, "TIMEOUT", 1.0)
    server.first = [trouble]
    slept = Waits()
    found = look_up(IRIS, endpoint, sleep=slept)
    assert len(found.names) == 10
    assert found.broken is None
    assert [wait for wait in slept if wait > 0.1 or wait == 0] == waits
    assert server.queries[:2] == [IRIS[:4], IRIS[:4]]


def test_a_date_to_wait_for_is_honoured(server: Server, endpoint: Endpoint) -> None:
    date = email.utils.formatdate(time.time() + 100, usegmt=True)
    server.first = [(503, {"Retry-After": date}, b"")]
    slept = Waits()
    look_up(IRIS, endpoint, sleep=slept)
    assert 90 < max(slept) <= 100


def test_waits_grow_until_it_gives_up_and_keeps_what_it_has(
    server: Server, endpoint: Endpoint
) -> None:
    look_up(IRIS[:4], endpoint)
    server.first = [(502, {}, b"")] * 50
    slept = Waits()
    found = look_up(IRIS, endpoint, sleep=slept)
    assert [wait for wait in slept if wait > 1] == [2, 4, 8, 16, 32]
    assert (len(found.names), found.missing) == (4, 6)
    assert "gave up looking up aliases (HTTP 502 Bad Gateway)" in str(found.broken)
    server.first = []
    assert len(look_up(IRIS, endpoint).names) == 10


@pytest.mark.parametrize("code", [400, 403, 404])
def test_what_will_not_pass_is_tried_once(server: Server, endpoint: Endpoint, code: int) -> None:
    server.first = [(code, {}, b"")]
    found = look_up(IRIS, endpoint, sleep=Waits())
    assert len(server.queries) == 1
    assert f"HTTP {code}" in str(found.broken)


def test_an_answer_that_was_cut_off_is_asked_for_in_halves(
    server: Server, endpoint: Endpoint
) -> None:
    server.most = 5
    found = look_up(IRIS[:4], endpoint)
    assert server.queries == [IRIS[:4], IRIS[:2], IRIS[2:4]]
    assert all(len(names) == 2 for names in found.names.values())


def test_requests_keep_their_pace(server: Server, endpoint: Endpoint) -> None:
    start = time.monotonic()
    look_up(IRIS, replace(endpoint, rate=5.0))
    assert 0.4 <= time.monotonic() - start < 5


def test_no_name_can_break_out_of_the_query(server: Server, endpoint: Endpoint) -> None:
    bad = [f"{R}a> }} DROP ALL #", f"{R}b c", f'{R}"', ""]
    assert look_up([*bad, IRIS[0]], endpoint).asked == 1
    assert server.queries == [[IRIS[0]]]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"url": "dbpedia.org/sparql"}, "expected an address with http"),
        ({"language": 'en") || ("'}, "expected one such as en"),
        ({"cache": Path("/dev/null/a")}, "no file for aliases can be made"),
    ],
)
def test_what_cannot_be_is_one_line(endpoint: Endpoint, change: Any, why: str) -> None:
    with pytest.raises(InputError, match=why):
        look_up(IRIS, replace(endpoint, **change))


def test_a_cache_that_is_none_is_named(endpoint: Endpoint) -> None:
    endpoint.cache.write_text("no database, but a text that is long enough to be taken for one\n")
    with pytest.raises(InputError, match=r"a\.sqlite: not usable as a cache of aliases"):
        look_up(IRIS, endpoint)


def test_an_import_takes_them_and_goes_on_when_it_breaks(server: Server, tmp_path: Path) -> None:
    ontology = "http://dbpedia.org/ontology/"
    triples = [f"<{R}Ada{n}> <{ontology}birthPlace> <{iri}> ." for n, iri in enumerate(IRIS)]
    (tmp_path / "dump.nt").write_text("\n".join(triples) + "\n")
    options = Options(per_relation=0, alias_endpoint=server.url, alias_rate=1e6, alias_batch=4)
    server.first = [(404, {}, b"")]
    out = tmp_path / "f.jsonl"
    broken = import_facts(tmp_path / "dump.nt", out, fmt="dbpedia", options=options)
    assert broken.facts == 10
    assert broken.counts["entities_not_looked_up"] == 10
    assert "gave up looking up aliases" in str(broken.broken)
    report = import_facts(tmp_path / "dump.nt", out, fmt="dbpedia", options=options)
    assert report.broken is None
    assert (tmp_path / "f.aliases.sqlite").is_file()
    assert report.counts["entities_with_aliases"] == 10
    made = facts.load(out)
    assert {fact.answer: fact.aliases for fact in made} == {
        iri[-3:]: (f"{iri[-3:]} label", f"Old {iri[-3:]}") for iri in IRIS
    }
