"""Labels and questions read well; templates are whole."""

from __future__ import annotations

import json

import pytest

from lorepack.facts.dbpedia import labels
from lorepack.facts.importing.templates import SHIPPED, wordings_of

R = labels.RESOURCE


@pytest.mark.parametrize(
    ("iri", "name"),
    [
        (R + "Turin", "Turin"),
        (R + "Alfa_Romeo_MiTo", "Alfa Romeo MiTo"),
        (R + "AC/DC", "AC/DC"),
        (R + "Beyonc%C3%A9", "Beyoncé"),
        (R + "Łódź", "Łódź"),
        (R + "Daredevil_(TV_series)", "Daredevil (TV series)"),
        (R + "David_Beckham__CareerStation__1", None),
        (R + "", None),
        (R + "A%00B", None),
        ("http://www.wikidata.org/entity/Q1", "Q1"),
    ],
)
def test_the_label_of_an_iri(iri, name):
    assert labels.label(iri) == name


@pytest.mark.parametrize(
    ("template", "subject", "text"),
    [
        ("Who wrote {s}?", "Dune (novel)", "Who wrote Dune (novel)?"),
        ("Who wrote the novel {s}?", "Dune (novel)", "Who wrote the novel Dune?"),
        ("Where is the {s}?", "The Hague", "Where is the Hague?"),
    ],
)
def test_questions_do_not_double_words(template, subject, text):
    assert labels.question(template, subject) == text


@pytest.mark.parametrize(
    ("relation", "subject", "answer", "why"),
    [
        ("birthPlace", "Ada", "Turin", None),
        ("location", "Turin Airport", "turin", "answer_in_subject"),
        ("location", "List of airports", "Turin", "list"),
        ("deathCause", "Ada", "Death by drowning", "generic_answer"),
        ("deathCause", "Ada", "Drowning", None),
        ("location", "Ada", "Death Valley", None),
    ],
)
def test_triples_that_make_no_fact(relation, subject, answer, why):
    assert labels.why_not(relation, subject, answer) == why


def test_names_of_relations_come_back_as_their_iris():
    for name in ("birthPlace", "foaf:homepage", "dc:subject", "rdfs:seeAlso"):
        assert name in {labels.relation_name(iri) for iri in labels.relation_iris(name)}


def rows() -> list[dict]:
    return [json.loads(line) for line in SHIPPED.read_text(encoding="utf-8").splitlines()]


def test_the_shipped_templates_cover_the_published_number_of_relations():
    assert len({row["relation"] for row in rows()}) == len(rows()) >= 390


def test_every_relation_has_four_wordings_or_more_that_ask_for_one_subject():
    for row in rows():
        assert row.keys() == {"relation", "wordings"}
        assert len(set(row["wordings"])) == len(row["wordings"]) >= 4, row
        for wording in row["wordings"]:
            assert wording.count("{s}") == 1, wording
            assert wording.endswith("?"), wording
            assert wording == " ".join(wording.split()), wording


def test_no_two_relations_ask_the_same():
    wordings = [wording.casefold() for row in rows() for wording in row["wordings"]]
    assert len(set(wordings)) == len(wordings)


def test_templates_are_found_by_name():
    assert wordings_of("birthPlace")[0].count("{s}") == 1
    assert wordings_of("no such relation at all") == ()
