"""A dump becomes a balanced set of facts, the same as a plain importer makes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
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


LABEL = "http://www.w3.org/2000/01/rdf-schema#label"
ALTERNATIVE = "http://www.w3.org/2004/02/skos/core#altLabel"
ITEM = "http://www.wikidata.org/entity/Q"


def test_names_of_wikidata_are_those_of_the_entities_that_are_its_items(tmp_path):
    same = "http://www.w3.org/2002/07/owl#sameAs"
    (tmp_path / "names.nt").write_text(
        f'<{ITEM}495> <{ALTERNATIVE}> "Torino"@en .\n'
        f'<{ITEM}495> <{ALTERNATIVE}> "Turin-Stadt"@de .\n'
        f'<{ITEM}585> <{LABEL}> "Kristiania"@en .\n'
        f'<{ITEM}586> <{ALTERNATIVE}> "Federal City of Bonn"@en .\n'
        f'<{ITEM}1> <{ALTERNATIVE}> "cosmos"@en .\n'
    )
    (tmp_path / "links.nt").write_text(
        f"<{R}Turin> <{same}> <http://wikidata.dbpedia.org/resource/Q495> .\n"
        f"<{ITEM}585> <{same}> <{R}Oslo> .\n"
        f"<https://en.wikipedia.org/wiki/Bon%6E> <http://schema.org/about> <{ITEM}586> .\n"
        f"<{R}Universe> <{same}> <{ITEM}1> .\n"
    )
    options = Options(aliases=(tmp_path / "names.nt", tmp_path / "links.nt"))
    report = import_facts(small(tmp_path), tmp_path / "f.jsonl", fmt="dbpedia", options=options)
    made = {fact.answer: fact.aliases for fact in facts.load(tmp_path / "f.jsonl", [])}
    assert made == {
        "Turin": ("Torino",), "Oslo": ("Kristiania",), "Bonn": ("Federal City of Bonn",),
    }  # fmt: skip
    told = {name: report.counts[name] for name in ("alias_lines", "alias_matches", "wikidata_ids")}
    assert told == {"alias_lines": 9, "alias_matches": 3, "wikidata_ids": 3}


def test_files_that_fit_nothing_are_told_by_their_counts(tmp_path):
    (tmp_path / "names.nt").write_text(f'<{R}Nobody> <{LABEL}> "Nobody"@en .\n')
    (tmp_path / "ontology.nt").write_text(f'<{O}other> <{LABEL}> "other"@en .\n')
    options = Options(ontology=tmp_path / "ontology.nt", aliases=(tmp_path / "names.nt",))
    report = import_facts(small(tmp_path), tmp_path / "f.jsonl", fmt="dbpedia", options=options)
    assert report.counts["alias_lines"] == 1
    nothing = (
        *("alias_matches", "aliases_found", "wikidata_ids"),
        *("ontology_relations", "relations_with_domain"),
    )
    assert {report.counts[name] for name in nothing} == {0}


@pytest.mark.parametrize("name", ["other.nt", "other.owl"])
@pytest.mark.parametrize("option", ["aliases", "ontology"])
def test_a_file_beside_the_dump_without_a_triple_is_refused(tmp_path, name, option):
    (tmp_path / name).write_text("<html>Not found</html>\n")
    given = (tmp_path / name,) if option == "aliases" else tmp_path / name
    with pytest.raises(InputError, match=rf"{name}: no (triple|description) in it"):
        import_facts(
            small(tmp_path), tmp_path / "f.jsonl", fmt="dbpedia", options=Options(**{option: given})
        )
    assert not (tmp_path / "f.jsonl").exists()


def test_a_name_that_is_no_utf8_is_set_aside_with_its_line(tmp_path):
    path = small(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    bad = f"<{R}Caf".encode() + b"\xe9> <" + f"{O}birthPlace> <{R}Turin> .\n".encode()
    half = f"<{R}Caf".encode() + b"\xe9 broken line\n"
    path.write_bytes(b"".join([*lines[:2], bad, *lines[2:], half]))
    report = import_facts(path, tmp_path / "f.jsonl", fmt="dbpedia")
    assert report.read == len(lines) + 2
    assert report.rejected == {"schema_encoding": 2}
    assert {fact.subject for fact in facts.load(tmp_path / "f.jsonl", [])} == {"Ada", "Bea", "Cleo"}
    told = [json.loads(line) for line in report.rejected_out.read_text().splitlines()]
    assert [(row["line"], row["reason"]) for row in told] == [
        (3, "schema_encoding"), (len(lines) + 2, "schema_encoding"),
    ]  # fmt: skip


def test_a_line_without_its_dot_is_no_triple(tmp_path):
    path = small(tmp_path)
    path.write_text(path.read_text() + f"<{R}Dan> <{O}birthPlace> <{R}Lodz> garbage\n")
    report = import_facts(path, tmp_path / "f.jsonl", fmt="dbpedia")
    assert report.rejected == {"malformed": 1}


def test_a_triple_that_comes_twice_is_one_fact(tmp_path):
    path = small(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], *lines]))
    whole = Options(per_relation=0)  # Ada is more popular now, so the buckets are no longer even
    report = import_facts(path, tmp_path / "f.jsonl", fmt="dbpedia", options=whole)
    assert "Ada" in {fact.subject for fact in facts.load(tmp_path / "f.jsonl", [])}
    assert report.counts["repeat"] == 1
    assert report.counts["several_objects"] == 0


CODE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from lorepack.cli.main import main
sys.argv = ["lorepack", "facts", "import", *sys.argv[1:]]
main()
"""


@pytest.fixture(scope="module")
def bumpy(tmp_path_factory) -> Path:
    """A dump in which every other line calls back, where an interrupt is lost most easily."""
    path = tmp_path_factory.mktemp("bumpy") / "objects.ttl"
    triple = f"<{R}Ada> <{O}birthPlace> <{R}Turin> .\n<{R}Ada> <half\n"
    path.write_text(triple * 500_000)
    return path


@pytest.mark.parametrize("wait", [0.0, 0.4, 0.8, 1.2, 1.6])
def test_an_interrupt_ends_the_import_and_nothing_is_written(bumpy, tmp_path, wait):
    out = tmp_path / "out"
    out.mkdir()
    command = [sys.executable, "-c", CODE, str(bumpy), "--as", "dbpedia", "--per-relation", "0"]
    child = subprocess.Popen(
        [*command, "--out", str(out / "facts.jsonl")],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        while child.poll() is None and str(bumpy) not in open_files(child.pid):
            time.sleep(0.005)
        time.sleep(wait)
        child.send_signal(signal.SIGINT)
        errors = child.communicate(timeout=60)[1]
    finally:
        child.kill()
    assert child.returncode == 130, errors
    assert "Traceback" not in errors
    assert list(out.iterdir()) == []


def open_files(process: int) -> set[str]:
    """The files that a process has open."""
    links = Path(f"/proc/{process}/fd")
    try:
        return {os.readlink(link) for link in links.iterdir()}
    except OSError:  # it opened or closed one meanwhile, or ended
        return set()


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
