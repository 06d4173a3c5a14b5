"""A whole synthesis over real passages, with a server that fails in every way it can."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from lorepack import facts as room
from lorepack.errors import LorepackError
from lorepack.facts.importing import import_facts
from lorepack.facts.passage import Passage
from lorepack.facts.passages_file import read_passages
from lorepack.synthesis import SynthesisReport, SynthesisSettings, synthesize
from lorepack.synthesis.output import LISTS
from lorepack.synthesis.writers.endpoint import Endpoint

from .scripted import questions_on
from .server import Act, Server, half, hang, ok, status, torn

DATA = Path(__file__).parents[3] / "shared" / "data" / "lora-as-knowledge-memory"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="no real data: ../shared/data is not there"
)
SETTINGS = SynthesisSettings(
    forms=(("qa", 12), ("summary", 2)), limit=6, tag="[{document}] ", window=4, rounds=1
)
PASSAGE = re.compile(r'"""\n(.*?)\n"""', re.DOTALL)
WANTED = re.compile(r"Write (\d+) ")


def model(body: dict[str, Any]) -> str:
    """What the server's model says: it depends on the request alone, and is broken at times."""
    user = body["messages"][-1]["content"]
    found = PASSAGE.search(user)
    assert found is not None
    wanted = int((WANTED.search(user) or ["", "1"])[1])
    if "summaries" in user or "summary" in user:
        items: list[Any] = found[1].replace("\n", " ").split(". ")[:wanted]
    else:
        asked = questions_on(found[1])
        items = [one for one in asked if one["question"] not in user][:wanted]
    said = json.dumps({"items": items})
    number = hashlib.sha256(user.encode()).digest()[0]
    if "could not be used" not in user and number % 3 == 0:
        return said[: len(said) // 2]
    return f"Here you are:\n```json\n{said}\n```" if number % 3 == 1 else said


def trouble(number: int, body: dict[str, Any]) -> Act | None:
    """Every second request goes wrong, each way in its turn."""
    ways = (status(429, retry_after="0"), ok(), status(500), ok(), half(), ok(), torn(), ok())
    return hang() if number % 40 == 21 else ways[number % len(ways)]


@pytest.fixture(scope="module")
def passages(tmp_path_factory) -> list[Passage]:
    folder = tmp_path_factory.mktemp("paperqa")
    import_facts(
        DATA / "paperQA.json", folder / "f.jsonl", fmt="paperqa", passages=folder / "p.jsonl"
    )
    return list(read_passages(folder / "p.jsonl"))


def write(
    server: Server, passages: list[Passage], out: Path, cache: Path | None = None
) -> SynthesisReport:
    writer = Endpoint(
        server.url, "test", concurrency=8, timeout=2.0, attempts=12, pause=0.01, prices=(1.0, 2.0)
    )
    return synthesize(passages, out, SETTINGS, writer, cache=cache)


@needs_data
def test_a_server_in_trouble_gives_what_a_good_one_gives(passages, tmp_path):
    with Server(answer=model) as server:
        calm = write(server, passages, tmp_path / "calm")
    assert calm.facts >= 40
    assert calm.texts >= 6
    assert "no_reply" not in calm.rejected
    with Server(answer=model, script=trouble) as server:
        report = write(server, passages, tmp_path / "out")
        assert server.count > report.requests  # some were tried again
        asked = server.count
        for name in LISTS:
            assert (tmp_path / "out" / name).read_bytes() == (
                tmp_path / "calm" / name
            ).read_bytes(), name
        assert report.forms == calm.forms
        assert report.cost is not None
        assert report.cost > 0
        again = write(server, passages, tmp_path / "out")
        other = write(server, passages, tmp_path / "b", tmp_path / "out" / "replies.sqlite")
        assert (again.requests, other.requests, server.count) == (0, 0, asked)
    facts = room.load(tmp_path / "out" / "facts.jsonl")
    assert len(facts) == report.facts
    assert all(fact.question.startswith("[") for fact in facts)


@needs_data
def test_half_a_json_is_asked_again_and_what_stays_broken_is_counted(passages, tmp_path):
    def stubborn(body: dict[str, Any]) -> str:
        number = len(body["messages"][-1]["content"])
        return f'{{"items": [{{"question": "{number}'

    with Server(answer=stubborn) as server:
        report = write(server, passages, tmp_path / "out")
    assert report.items == 0
    assert report.rejected.keys() == {"format"}
    rows = [json.loads(x) for x in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert {row["detail"] for row in rows} == {"its JSON breaks off before the end"}
    assert all(row["text"].startswith('{"items"') for row in rows)


@needs_data
def test_a_wrong_key_ends_in_one_line_and_keeps_what_came(passages, tmp_path, monkeypatch):
    monkeypatch.setenv("LOREPACK_API_KEY", "secret-and-wrong")

    def locked(number: int, body: dict[str, Any]) -> Act | None:
        return None if number < 5 else status(401, "wrong key secret-and-wrong")

    with Server(answer=model, script=locked) as server:
        with pytest.raises(LorepackError) as error:
            write(server, passages, tmp_path / "out")
        server.script = {}
        monkeypatch.delenv("LOREPACK_API_KEY")
        report = write(server, passages, tmp_path / "out")
    assert "LOREPACK_API_KEY" in str(error.value)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)
    assert report.cached > 0
    for path in (tmp_path / "out").iterdir():
        assert b"secret-and-wrong" not in path.read_bytes(), path
