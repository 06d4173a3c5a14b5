"""Other names of entities from a SPARQL endpoint: a few requests, slowly, and none twice.

Labels, alternative labels (``skos:altLabel``) and the names of redirects. Answers are kept in a
SQLite file by endpoint, language and entity, batch by batch, so that a run which was killed, or
which gave up, goes on where it was.
"""

from __future__ import annotations

import datetime
import email.utils
import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx2

from lorepack.errors import InputError
from lorepack.facts.dbpedia.extras import MOST
from lorepack.facts.dbpedia.labels import label

TIMEOUT = 60.0
"""seconds for an answer"""
FAILURES = 6
"""requests that fail one after the other before it gives up"""
LONGEST = 900.0
"""seconds that an endpoint may ask to wait"""
ANSWER_LIMIT = 64 << 20
"""bytes of an answer"""

_IRI = re.compile(r"[^\x00-\x20<>\"{}|^`\\]+")  # what may stand between angle brackets
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")
_QUERY = """PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
PREFIX skos: <http://www.w3.org/2004/02/skos/core#>
PREFIX dbo: <http://dbpedia.org/ontology/>
SELECT DISTINCT ?entity ?name WHERE {
  VALUES ?entity { %s }
  { { ?entity rdfs:label ?name } UNION { ?entity skos:altLabel ?name }
    FILTER(lang(?name) = "" || langMatches(lang(?name), "%s")) }
  UNION { ?name dbo:wikiPageRedirects ?entity }
}"""


@dataclass(frozen=True)
class Endpoint:
    """Where names are looked up, and how gently."""

    url: str
    cache: Path
    """a SQLite file"""
    rate: float = 1.0
    """most requests a second"""
    batch: int = 100
    """entities in a request"""
    language: str = "en"
    """of labels; those without a language are taken, too"""


@dataclass
class Found:
    """What a lookup found."""

    names: dict[str, list[str]] = field(default_factory=dict)
    """other names by entity; of an entity that has none, nothing"""
    asked: int = 0
    """entities that the endpoint was asked for now"""
    cached: int = 0
    """entities that it had been asked for before"""
    missing: int = 0
    """entities that nothing is known of, because it gave up"""
    broken: str | None = None
    """why it gave up"""


class _FailureError(Exception):
    """A request that got no answer; it may get one later."""

    def __init__(self, why: str, wait: float | None = None, *, final: bool = False) -> None:
        super().__init__(why)
        self.wait, self.final = wait, final


def look_up(
    entities: Iterable[str],
    endpoint: Endpoint,
    *,
    sleep: Callable[[float], None] = time.sleep,
    progress: Callable[[int, int], None] | None = None,
) -> Found:
    """Ask an endpoint for the other names of entities.

    Args:
        entities: IRIs without brackets; those that no query can hold are passed over.
        endpoint: where, and how.
        sleep: waits so many seconds.
        progress: called with the number of entities that are known, and of all.

    Returns:
        The names. Where the endpoint fails for good, ``broken`` says so, and what is known is
        there.

    Raises:
        InputError: the endpoint's address, its language or the cache cannot be used.
    """
    _check(endpoint)
    wanted = sorted(filter(_IRI.fullmatch, set(entities)))
    with _cache(endpoint) as cache:
        found = Found({iri: names for iri in wanted if (names := cache.get(iri)) is not None})
        found.cached = len(found.names)
        todo = [iri for iri in wanted if iri not in found.names]
        with _client(endpoint) as client:
            for answer in _answers(_Asking(client, endpoint, sleep), todo, found):
                cache.put(answer)
                found.names |= answer
                found.asked += len(answer)
                if progress is not None:
                    progress(len(found.names), len(wanted))
    found.missing = len(wanted) - len(found.names)
    found.names = {iri: names for iri, names in found.names.items() if names}
    return found


def _check(endpoint: Endpoint) -> None:
    if not re.match(r"https?://[^/\s]", endpoint.url):
        raise InputError(f"--alias-endpoint {endpoint.url!r}: expected an address with http(s)://")
    if not _LANGUAGE.fullmatch(endpoint.language):
        raise InputError(f"--alias-language {endpoint.language!r}: expected one such as en")


def _client(endpoint: Endpoint) -> httpx2.Client:
    try:
        httpx2.URL(endpoint.url)
        headers = {
            "User-Agent": f"lorepack/{version('lorepack')}",
            "Accept": "application/sparql-results+json",
        }
        return httpx2.Client(timeout=TIMEOUT, headers=headers, follow_redirects=True)
    except (httpx2.InvalidURL, ImportError, OSError, ValueError) as error:
        raise InputError(f"{endpoint.url} cannot be asked ({error})") from error


def _answers(asking: _Asking, todo: Sequence[str], found: Found) -> Iterator[dict[str, list[str]]]:
    """The names of each batch; ends early, and says why, when requests fail for good."""
    size = asking.endpoint.batch
    batches = [todo[start : start + size] for start in range(0, len(todo), size)][::-1]
    while batches:
        batch = batches.pop()
        try:
            names, whole = asking.names(batch)
        except _FailureError as error:
            found.broken = (
                f"{asking.endpoint.url}: gave up looking up aliases ({error}); what was found is "
                f"kept in {asking.endpoint.cache}, the same command goes on from there"
            )
            return
        if whole or len(batch) == 1:
            yield names
        else:  # the endpoint cuts its answers off: ask for less at once
            middle = len(batch) // 2
            batches += [batch[middle:], batch[:middle]]


@dataclass
class _Asking:
    """Requests at a steady pace, each tried again for a while."""

    client: httpx2.Client
    endpoint: Endpoint
    sleep: Callable[[float], None]
    _next: float = 0.0
    """when the next request may go"""

    def names(self, batch: Sequence[str]) -> tuple[dict[str, list[str]], bool]:
        """The names of some entities, and whether these are all.

        Raises:
            _FailureError: it failed too often, or for good.
        """
        failures = 0
        while True:
            self._pace()
            try:
                return self._request(batch)
            except _FailureError as error:
                failures += 1
                wait = error.wait if error.wait is not None else 2.0**failures
                if error.final or failures == FAILURES or wait > LONGEST:
                    raise
                self.sleep(wait)

    def _pace(self) -> None:
        now = time.monotonic()
        if now < self._next:
            self.sleep(self._next - now)
        self._next = max(now, self._next) + 1 / self.endpoint.rate

    def _request(self, batch: Sequence[str]) -> tuple[dict[str, list[str]], bool]:
        query = _QUERY % (" ".join(f"<{iri}>" for iri in batch), self.endpoint.language)
        try:
            with self.client.stream("POST", self.endpoint.url, data={"query": query}) as response:
                _check_status(response)
                data = _body(response)
                most = response.headers.get("X-SPARQL-MaxRows", "")
        except httpx2.TimeoutException:
            raise _FailureError(f"no answer in {TIMEOUT:.0f} seconds") from None
        except httpx2.HTTPError as error:
            raise _FailureError(f"{type(error).__name__}: {error}"[:200]) from None
        rows = _rows(data)
        whole = not (most.isdigit() and len(rows) >= int(most))
        return _named(rows, batch), whole


def _check_status(response: httpx2.Response) -> None:
    code = response.status_code
    if code == 200:
        return
    told = f"HTTP {code} {response.reason_phrase}".strip()
    again = code in (408, 425, 429) or code >= 500
    raise _FailureError(told, _asked_to_wait(response), final=not again)


def _asked_to_wait(response: httpx2.Response) -> float | None:
    """The seconds that ``Retry-After`` says, as a number or a date; None where it says none."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
        return max(0.0, (date - datetime.datetime.now(datetime.UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _body(response: httpx2.Response) -> bytes:
    """The answer, within its bound and within the time for all of it."""
    data, end = bytearray(), time.monotonic() + TIMEOUT
    for piece in response.iter_bytes():
        data += piece
        if len(data) > ANSWER_LIMIT:
            raise _FailureError(f"an answer of more than {ANSWER_LIMIT >> 20} MiB", final=True)
        if time.monotonic() > end:
            raise _FailureError(f"no whole answer in {TIMEOUT:.0f} seconds")
    return bytes(data)


def _rows(data: bytes) -> list[Any]:
    try:
        rows = json.loads(data)["results"]["bindings"]
        if isinstance(rows, list):
            return rows
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise _FailureError(f"no SPARQL results in JSON, but {data[:60].decode('utf-8', 'replace')!r}")


def _named(rows: Iterable[Any], batch: Sequence[str]) -> dict[str, list[str]]:
    """Names by entity, each once, sorted, as many as are kept of one."""
    known: dict[str, set[str]] = {iri: set() for iri in batch}
    for row in rows:
        try:
            entity, name = row["entity"]["value"], row["name"]
            text = label(name["value"]) if name["type"] == "uri" else name["value"]
        except (KeyError, TypeError, IndexError):
            continue
        if entity in known and isinstance(text, str) and text.strip() and text.isprintable():
            known[entity].add(text.strip())
    return {iri: sorted(names)[:MOST] for iri, names in known.items()}


@contextmanager
def _cache(endpoint: Endpoint) -> Iterator[_Cache]:
    try:
        endpoint.cache.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(endpoint.cache, timeout=30)
    except (sqlite3.Error, OSError) as error:
        raise InputError(f"{endpoint.cache}: no file for aliases can be made ({error})") from error
    try:
        yield _Cache(database, endpoint)
    except sqlite3.Error as error:
        raise InputError(
            f"{endpoint.cache}: not usable as a cache of aliases ({error}); give another file"
        ) from error
    finally:
        database.close()


class _Cache:
    """What the endpoint answered, by entity."""

    def __init__(self, database: sqlite3.Connection, endpoint: Endpoint) -> None:
        self._database, self._key = database, (endpoint.url, endpoint.language)
        with database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS aliases (endpoint TEXT, language TEXT, entity TEXT,"
                " names TEXT NOT NULL, PRIMARY KEY (endpoint, language, entity)) WITHOUT ROWID"
            )

    def get(self, entity: str) -> list[str] | None:
        """The names of an entity; None where it was never asked for."""
        query = "SELECT names FROM aliases WHERE endpoint = ? AND language = ? AND entity = ?"
        row = self._database.execute(query, (*self._key, entity)).fetchone()
        return None if row is None else list(json.loads(row[0]))

    def put(self, answer: dict[str, list[str]]) -> None:
        """Keep the names of a batch, whole or not at all."""
        rows = [(*self._key, iri, json.dumps(names)) for iri, names in answer.items()]
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO aliases VALUES (?, ?, ?, ?)", rows)
