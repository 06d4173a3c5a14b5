"""A dump becomes a balanced set of facts, the same as a plain importer makes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from benchmarks.dbpedia_import import plain_import
from benchmarks.made_dump import write_dump

from lorepack import facts
from lorepack.errors import InputError
from lorepack.facts.importing import Options, detect, import_facts
from lorepack.facts.importing.dbpedia import shuffled

R, O = "http://dbpedia.org/resource/", "http://dbpedia.org/ontology/"  # noqa: E741


@pytest.fixture(scope="module")
def dump(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("dump") / "objects.ttl"
    write_dump(path, 60_000, seed=1)
    return path


def test_it_gives_the_facts_of_a_plain_two_pass_importer(dump, tmp_path):
    report = import_facts(dump, tmp_path / "ours.jsonl", fmt="dbpedia")
    lines = plain_import(dump, tmp_path / "plain.jsonl")
    assert report.read == lines == 60_000
    assert report.facts > 5_000
    assert (tmp_path / "ours.jsonl").read_bytes() == (tmp_path / "plain.jsonl").read_bytes()


def test_every_line_is_a_fact_or_counted(dump, tmp_path):
    report = import_facts(dump, tmp_path / "facts.jsonl", fmt="dbpedia")
    assert report.facts + sum(report.rejected.values()) + sum(report.counts.values()) == report.read


def test_every_relation_has_as_many_facts_from_each_bucket_and_no_more_than_asked(dump, tmp_path):
    import_facts(dump, tmp_path / "facts.jsonl", fmt="dbpedia", options=Options(per_relation=5))
    made = facts.load(tmp_path / "facts.jsonl", [])
    groups = Counter((fact.relation, fact.split) for fact in made)
    assert max(groups.values()) == 5
    relations = {relation for relation, _ in groups}
    # A fact whose answer stands in its question leaves its group one short.
    for relation in relations:
        sizes = [groups[relation, bucket] for bucket in ("head", "torso", "tail")]
        assert max(sizes) - min(sizes) <= 1


def test_facts_have_questions_wordings_and_popularity(dump, tmp_path):
    import_facts(dump, tmp_path / "facts.jsonl", fmt="dbpedia")
    for fact in facts.load(tmp_path / "facts.jsonl", [])[:500]:
        assert fact.question.endswith("?")
        assert fact.answer.casefold() not in fact.question.casefold()
        assert len(fact.paraphrases) >= 3
        assert fact.popularity is not None
        assert fact.popularity >= 1
        assert "__" not in fact.answer
        assert "%" not in fact.answer


def test_the_seed_decides_the_draw(dump, tmp_path):
    made = {}
    for seed in (0, 0, 1):
        import_facts(dump, tmp_path / "f.jsonl", fmt="dbpedia", options=Options(seed=seed))
        made.setdefault(seed, []).append((tmp_path / "f.jsonl").read_bytes())
    assert made[0][0] == made[0][1] != made[1][0]


def test_a_dump_is_told_by_its_first_lines(dump):
    assert detect(dump).name == "dbpedia"


def small(folder: Path) -> Path:
    """Three subjects of rising popularity, one triple each, so that each bucket has one."""
    lines = [f"<{R}Ada> <{O}birthPlace> <{R}Turin> ."]
    lines += [f"<{R}Bea> <{O}birthPlace> <{R}Oslo> ."]
    lines += [f"<{R}Cleo> <{O}birthPlace> <{R}Bonn> ."]
    lines += [f"<{R}x{i}> <{O}unasked> <{R}Bea> ." for i in range(4)]
    lines += [f"<{R}y{i}> <{O}unasked> <{R}Cleo> ." for i in range(9)]
    path = folder / "small.nt"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_domains_and_aliases_come_from_files(tmp_path):
    (tmp_path / "ontology.nt").write_text(
        f"<{O}birthPlace> <http://www.w3.org/2000/01/rdf-schema#range> <{O}Place> .\n"
        f"<{O}birthPlace> <http://www.w3.org/2000/01/rdf-schema#domain> <{O}Animal> .\n"
    )
    (tmp_path / "labels.nt").write_text(
        f'<{R}Turin> <http://www.w3.org/2004/02/skos/core#altLabel> "Torino"@en .\n'
        f'<{R}Turin> <http://www.w3.org/2004/02/skos/core#altLabel> "Turin-Stadt"@de .\n'
        f'<{R}Oslo> <http://www.w3.org/2000/01/rdf-schema#label> "Krist\\u00EDania"@en .\n'
        f"<{R}Augusta_Taurinorum> <{O}wikiPageRedirects> <{R}Turin> .\n"
    )
    options = Options(ontology=tmp_path / "ontology.nt", aliases=(tmp_path / "labels.nt",))
    import_facts(small(tmp_path), tmp_path / "f.jsonl", fmt="dbpedia", options=options)
    made = {fact.subject: fact for fact in facts.load(tmp_path / "f.jsonl", [])}
    assert {name: fact.split for name, fact in made.items()} == {
        "Ada": "tail", "Bea": "torso", "Cleo": "head",
    }  # fmt: skip
    assert made["Ada"].aliases == ("Torino", "Augusta Taurinorum")
    assert made["Bea"].aliases == ("Kristíania",)
    assert {fact.domain for fact in made.values()} == {"Animal"}


def test_an_ontology_in_xml_gives_the_same_domains(tmp_path):
    (tmp_path / "ontology.owl").write_text(
        f"""<?xml version="1.0"?>
        <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
          xmlns:rdfs="http://www.w3.org/2000/01/rdf-schema#" xmlns:owl="http://www.w3.org/2002/07/owl#">
          <owl:ObjectProperty rdf:about="{O}birthPlace">
            <rdfs:domain rdf:resource="{O}Animal"/><rdfs:range rdf:resource="{O}Place"/>
          </owl:ObjectProperty>
        </rdf:RDF>"""
    )
    options = Options(ontology=tmp_path / "ontology.owl")
    import_facts(small(tmp_path), tmp_path / "f.jsonl", fmt="dbpedia", options=options)
    assert {fact.domain for fact in facts.load(tmp_path / "f.jsonl", [])} == {"Animal"}


def test_a_dump_without_usable_triples_is_an_error_and_writes_nothing(tmp_path):
    path = tmp_path / "other.nt"
    path.write_text("<http://a/x> <http://r/1> <http://a/y> .\n")
    with pytest.raises(InputError, match="no facts as dbpedia"):
        import_facts(path, tmp_path / "f.jsonl", fmt="dbpedia")
    assert not (tmp_path / "f.jsonl").exists()


@pytest.mark.parametrize("size", [0, 1, 2, 7, 100])
def test_a_shuffle_drawn_one_by_one_is_a_permutation(size):
    assert sorted(shuffled(size, "a")) == list(range(size))


def test_a_shuffle_is_even():
    first = Counter(next(shuffled(4, str(seed))) for seed in range(4_000))
    assert all(900 < count < 1_100 for count in first.values())
