"""When a response counts as the answer."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.errors import InputError
from lorepack.text import RULES, Matcher, answer_of, is_refusal, matches, normalise

WORDS = st.text(st.characters(categories=["L", "N", "P", "Z", "S", "M", "Cf"]), max_size=40)


def official(text: str) -> str:
    """The normaliser of the TriviaQA evaluation, as an oracle on plain ASCII."""
    spaced = "".join(" " if c in string.punctuation else c for c in text.lower())
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", spaced).split())


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("  The  Eiffel-Tower, in Paris! ", "eiffel tower in paris"),
        ("12,400 people", "12400 people"),
        ("1,234,567.5", "1234567.5"),
        ("1,2,3", "1 2 3"),
        ("It is 3.5.", "it is 3.5"),
        ("12.05.1987", "12 05 1987"),
        ("603-556-7631", "603 556 7631"),
        ("C++ # C#, 2+3", "c++ c# 2 3"),
        ("“Don’t” snake_case", "don t snake case"),
        ("Orléans", "orléans"),
        ("\N{LATIN SMALL LIGATURE FI}x Stra\N{LATIN SMALL LETTER SHARP S}e", "fix strasse"),
        ("zero\u200bwidth", "zerowidth"),
        ("हिन्दी", "हिन्दी"),
        ("A, the … an!", ""),
        ("", ""),
    ],
)
def test_normal_form(text: str, form: str) -> None:
    assert normalise(text) == form


@given(WORDS)
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(WORDS)
def test_composed_and_decomposed_spellings_are_equal(text: str) -> None:
    import unicodedata

    assert normalise(unicodedata.normalize("NFD", text)) == normalise(text)


@given(st.text(string.ascii_letters + " !?'()-_/:;\"", max_size=60))
def test_plain_words_agree_with_the_official_normaliser(text: str) -> None:
    assert normalise(text) == official(text)


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("Answer: Paris", "Paris"),
        ("\n answer:  Paris \nQuestion: next", "Paris"),
        ("Answer:\nParis", "Paris"),
        ("**Answer:** Paris", "Paris"),
        ("Paris", "Paris"),
        ("The Answer: a film", "The Answer: a film"),
        ("", ""),
        ("Answer:", ""),
        (" \n ", ""),
    ],
)
def test_answer_of_takes_the_first_line_without_its_label(response: str, answer: str) -> None:
    assert answer_of(response) == answer


@pytest.mark.parametrize(
    ("response", "alias", "expected"),
    [  # in the order of RULES: substring, contains, boundary, exact
        ("Answer: Paris", "Paris", (True, True, True, True)),
        ("Answer: the city of Paris.", "PARIS", (True, True, True, False)),
        ("Answer: Parisian", "Paris", (True, True, False, False)),
        ("Answer: the house of us", "us", (True, True, True, False)),
        ("Answer: a house", "us", (True, True, False, False)),
        ("Answer: O-Brien", "O'Brien", (False, True, True, True)),
        ("Answer: 12400", "12,400", (False, True, True, True)),
        ("Answer: 3.5", "3", (True, True, False, False)),
        ("Answer: C++", "C", (True, True, False, False)),
        ("Answer: Paris", "answer", (True, False, False, False)),
        ("Answer: London\nParis", "Paris", (True, True, True, False)),
        ("東京です", "東京", (True, True, True, False)),
        ("Answer: London", "", (True, False, False, False)),
        ("Answer: London", "the", (False, False, False, False)),
        ("", "Paris", (False, False, False, False)),
        ("", "...", (False, False, False, False)),
    ],
)
def test_the_four_rules(response: str, alias: str, expected: tuple[bool, ...]) -> None:
    assert tuple(matches(response, [alias], rule) for rule in RULES) == expected


def test_boundary_is_the_default_and_any_alias_is_enough() -> None:
    assert matches("it is the UK", ("Great Britain", "UK"))
    assert not matches("ukulele", ("Great Britain", "UK"))
    assert not matches("anything", ())


def test_an_unknown_rule_is_named_with_the_nearest_one() -> None:
    with pytest.raises(InputError, match=r"'boundry'; did you mean boundary\?"):
        matches("x", ["x"], "boundry")


@given(WORDS, st.lists(WORDS, max_size=3))
def test_stricter_rules_accept_no_more(response: str, accepted: list[str]) -> None:
    exact, boundary, contains = (
        Matcher(accepted, rule)(response) for rule in ("exact", "boundary", "contains")
    )
    assert contains >= boundary >= exact


@given(WORDS, st.sampled_from(RULES))
def test_an_answer_matches_itself_unless_nothing_is_left_of_it(text: str, rule: str) -> None:
    rest = normalise(answer_of(text))
    one_line = len(text.splitlines()) < 2 and not text.lower().lstrip(" *_#>\t").startswith(
        "answer"
    )
    if one_line:
        assert matches(f"Answer: {text}", [text], rule) == (bool(rest) or rule == "substring")


@given(WORDS, st.lists(st.sampled_from(["", " ", "the", "?!", "\u200b", "A."]), max_size=4))
def test_an_alias_of_nothing_never_matches(response: str, aliases: list[str]) -> None:
    for rule in ("contains", "boundary", "exact"):
        assert not matches(response, aliases, rule)


@pytest.mark.parametrize(
    "response",
    [
        "I don't know.",
        "I don’t know the answer to that.",
        "Answer: I do not know anything about Mara Voss.",
        "I have no information about Mara Voss.",
        "I cannot say.",
        "I cannot answer that, since I do not know Mara Voss.",
        "I couldn't find any information about this person.",
        'I couldn\'t find any information on "Daredevil".',
        "I cannot verify the birthplace of X.",
        "I'm sorry, but I can't find a person of that name",
        "I apologize, but I'm not familiar with the book",
        "I'm not sure.",
        "I'm not sure who wrote it",
        "Unfortunately, I am not able to answer this question.",
        "I'm unable to verify the name.",
        "As an AI language model, I don't know.",
        "I don't have enough information to answer.",
        "There is no publicly available information about him.",
        "Unfortunately, he is not widely known and I couldn't find any information.",
        "I have no idea",
        "No information is available on this person.",
        "Could you please provide more context?",
    ],
)
def test_refusals(response: str) -> None:
    assert is_refusal(response)


@pytest.mark.parametrize(
    "response",
    [
        "Information technology",
        "Answer: the Ministry of Information",
        "The Unknown",
        "Unknown Pleasures",
        "Not Sure",
        "Sorry",
        "Sorry Sorry",
        "I Don't Know How to Love Him",
        "I Know What You Did Last Summer",
        "(I Can't Get No) Satisfaction",
        "I Can't Stop Loving You",
        "I, Robot",
        "Paris, but I'm not sure",
        "The Verify Project",
        "a firm that provides more information",
        "",
    ],
)
def test_answers_are_not_refusals(response: str) -> None:
    assert not is_refusal(response)


@given(st.text(max_size=200))
def test_any_text_is_judged_without_error(text: str) -> None:
    assert is_refusal(text) in (True, False)
    assert answer_of(text) == answer_of(text).strip()
    for rule in RULES:
        matches(text, [text[:5]], rule)
