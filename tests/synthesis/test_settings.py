"""Settings are read from text, and a slip is told in one line."""

from __future__ import annotations

import pytest

from lorepack.errors import InputError
from lorepack.facts.passage import Passage
from lorepack.synthesis.settings import SynthesisSettings, parse_form, tagged


def test_forms_are_read_with_and_without_a_number():
    assert parse_form("qa:40") == ("qa", 40)
    assert parse_form(" rewrite : 4 ") == ("rewrite", 4)
    assert parse_form("original") == ("original", 1)
    assert parse_form("qa")[1] > 1


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("qq:4", "no form 'qq'.*"),
        ("sumary:4", "did you mean summary"),
        ("qa:0", "at least 1, such as qa:"),
        ("qa:", "got ''"),
        ("qa:-3", "got '-3'"),
        ("qa:4.5", "got '4.5'"),
        ("qa:٤", "expected a number"),
        ("original:2", "one original of each passage"),
    ],
)
def test_a_wrong_form_is_told(given, why):
    with pytest.raises(InputError, match=why):
        parse_form(given)


def test_values_are_taken_as_text():
    settings = SynthesisSettings().override(["seed=4", "forms=qa:2,original", "gates.leak=0.5"])
    assert settings.seed == 4
    assert settings.forms == (("qa", 2), ("original", 1))
    assert settings.gates.leak == 0.5
    assert settings.override({"limit": "3"}).override({"limit": "none"}).limit is None


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("sed=4", "'sed' is not known; did you mean seed?"),
        ("gates.leek=4", "'gates.leek' is not known; did you mean leak?"),
        ("seed=four", "seed='four'"),
        ("seed=-1", "seed='-1'"),
        ("seed", "expected key=value"),
        ("temperature=nan", "temperature"),
        ("forms=qa:2,qa:3", "given twice"),
        ("tag={dokument}", "did you mean document"),
        ("tag={document", "write a brace that is text"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(given, why):
    with pytest.raises(InputError, match=why) as error:
        SynthesisSettings().override([given])
    assert "\n" not in str(error.value)


def test_only_what_decides_results_is_compared():
    assert SynthesisSettings(window=2).deciding() == SynthesisSettings(window=3).deciding()
    assert SynthesisSettings(seed=2).deciding() != SynthesisSettings(seed=3).deciding()


def test_a_tag_holds_fields_of_the_passage():
    passage = Passage("text", document="d7", page=3)
    assert tagged("[{document}, p. {page}] ", passage) == "[d7, p. 3] "
    assert tagged("{{x}} ", passage) == "{x} "
    with pytest.raises(InputError, match=r"has no 'title'.*it has: document"):
        tagged("{title}: ", passage)
