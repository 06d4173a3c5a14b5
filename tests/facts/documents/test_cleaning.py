"""Cleaning: what goes away, what stays, and pages that become one text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.facts.documents import clean
from lorepack.facts.documents.cleaning import pages_joined

HOUSE = "The house by the river was sold for the third time in that"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("e\u0301t\u00e9", "été"),
        ("a\x00b\x07c\u200bd\ufeffe\u00adf", "abcdef"),
        ("a  \t b \r\n c\rd\u2029e", "a b\nc\nd\ne"),
        ("\n\none\n \n\n\ntwo\n\n", "one\n\ntwo"),
        ("BAHAâ\x80\x99I", "BAHA’I"),
        ("it\x92s \x85", "it’s …"),
        ("Ã©", "Ã©"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("half \ud800 a sign", "half a sign"),
    ],
)
def test_what_carries_no_text_goes_away(text: str, expected: str) -> None:
    assert clean(text) == expected


@given(st.text(alphabet=st.characters()) | st.text(alphabet="â\x80\x99\x85\xc2 \n\r\tae\u0301"))
def test_cleaning_twice_changes_nothing(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    once.encode()


class TestPages:
    def test_headers_and_footers_of_most_pages_go_away(self) -> None:
        body = ["First things.", "Second things.", "Third things."]
        pages = [f"A BOOK {n}\n{text}\nPage {n} of 3" for n, text in enumerate(body, 1)]
        text, starts = pages_joined(pages)
        assert text == "\n".join(body)
        assert [text[start:].split("\n")[0] for start in starts] == body

    def test_two_pages_are_too_few_to_tell(self) -> None:
        assert pages_joined(["Same\none.", "Same\ntwo."])[0].count("Same") == 2

    def test_words_broken_at_the_end_of_a_line_are_joined(self) -> None:
        pages = [f"{HOUSE} moun-\ntain village, by its well-\nknown owner.\nHe is well-known."]
        assert "mountain village, by its well-known owner." in pages_joined(pages)[0]

    def test_a_hyphen_inside_a_line_and_half_a_word_stay(self) -> None:
        pages = [f"{HOUSE} pre-\nand post-war era, pre- and post-war."]
        assert pages_joined(pages)[0].count("pre- and post-war") == 2

    def test_a_word_broken_over_two_pages(self) -> None:
        text, starts = pages_joined([f"{HOUSE} moun-", "tain village."])
        assert text == f"{HOUSE} mountain village."
        assert text[starts[1] :] == "tain village."

    def test_lines_become_paragraphs_and_short_lines_stay(self) -> None:
        text, _ = pages_joined([f"Chapter 1\n{HOUSE}\nyear.\n{HOUSE}\n- item"])
        assert text == f"Chapter 1\n{HOUSE} year.\n{HOUSE}\n- item"

    def test_blank_lines_stay_paragraphs(self) -> None:
        assert pages_joined([f"{HOUSE}\n\n{HOUSE}"])[0] == f"{HOUSE}\n\n{HOUSE}"

    @given(st.lists(st.text(alphabet="ab-\n .Z1"), max_size=6))
    def test_places_rise_and_lie_in_the_text(self, pages: list[str]) -> None:
        text, starts = pages_joined(pages)
        assert len(starts) == len(pages)
        assert list(starts) == sorted(starts)
        assert not starts or (starts[0] == 0 and starts[-1] <= len(text))
        assert "\x1f" not in text
