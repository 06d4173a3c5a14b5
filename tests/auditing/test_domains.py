"""Domains are read from a map or an ontology, and a wrong file is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorepack.auditing import Domains
from lorepack.errors import InputError, NotFoundError
from lorepack.facts import Fact

FACT = Fact("Where?", "There", relation="birthPlace", domain="Own")
ONTOLOGY = """\
<http://dbpedia.org/ontology/birthPlace> <http://www.w3.org/2000/01/rdf-schema#domain> \
<http://dbpedia.org/ontology/Person> .
<http://dbpedia.org/ontology/birthPlace> <http://www.w3.org/2000/01/rdf-schema#range> \
<http://dbpedia.org/ontology/Place> .
<http://dbpedia.org/ontology/genre> <http://www.w3.org/2000/01/rdf-schema#range> \
<http://dbpedia.org/ontology/Genre> .
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("map.json", '{"birthPlace": "Person", "genre": "Work"}'),
        ("map.yaml", "birthPlace: Person\ngenre: Work\n"),
        ("map.csv", "relation,domain\nbirthPlace,Person\n\ngenre , Work\n"),
        ("map.tsv", "birthPlace\tPerson\ngenre\tWork\n"),
    ],
)
def test_every_form_of_a_map(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = Domains.read(tmp_path / name)
    assert found is not None
    assert dict(found.by_relation) == {"birthPlace": "Person", "genre": "Work"}
    assert found.of(FACT) == "Person"
    assert found.of(Fact("?", "x", relation="other", domain="Own")) == "Own"
    assert found.of(Fact("?", "x", domain="Own")) == "Own"
    assert found.of(Fact("?", "x")) is None
    assert found.found_in([FACT]) == "map"


def test_an_ontology_knows_relations_by_any_of_their_names(tmp_path: Path) -> None:
    path = tmp_path / "ontology.nt"
    path.write_text(ONTOLOGY, encoding="utf-8")
    found = Domains.read(ontology=path)
    assert found is not None
    for name in ("birthPlace", "http://dbpedia.org/ontology/birthPlace"):
        assert found.of(Fact("?", "x", relation=name)) == "Person"
    assert found.of(Fact("?", "x", relation="genre")) == "Genre"  # its range, having no domain
    assert found.found_in([FACT]) == "ontology"


def test_without_a_file_the_facts_say_it() -> None:
    assert Domains.read() is None
    assert Domains().of(FACT) == "Own"
    assert Domains().found_in([FACT]) == "facts"
    assert Domains().found_in([Fact("?", "x")]) == "none"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("map.json", '{"birthPlace": ', "cannot be read"),
        ("map.json", '["birthPlace"]', "expected an object"),
        ("map.json", '{"birthPlace": 3}', "expected relation: domain"),
        ("map.yaml", "a: [", "cannot be read"),
        ("map.csv", "birthPlace,Person\ngenre\n", ":2: expected relation and domain"),
        ("map.txt", "birthPlace Person", "is one of .json, .yaml"),
        ("map.csv", b"\xff\xfe,\x00", "cannot be read"),
    ],
)
def test_a_wrong_map_is_told_in_one_line(
    tmp_path: Path, name: str, text: str | bytes, message: str
) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        Domains.read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_no_file_and_two_files(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        Domains.read(tmp_path / "map.json")
    with pytest.raises(InputError, match="one of the two"):
        Domains.read(tmp_path / "map.json", tmp_path / "ontology.nt")


def test_a_map_of_other_relations_is_refused() -> None:
    found = Domains("map", {"birthPlaces": "Person"})
    with pytest.raises(InputError, match=r"none of the facts' 1.*birthPlace.*birthPlaces"):
        found.check([FACT])
    found.check([Fact("?", "x")])  # without relations there is nothing to compare
    Domains("map", {"birthPlace": "Person"}).check([FACT, Fact("?", "x", relation="other")])
