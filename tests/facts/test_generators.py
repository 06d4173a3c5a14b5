"""Made facts: known entropy, no name twice, and a smaller set begins a larger one."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from pathlib import Path

import pytest

from lorepack.errors import InputError
from lorepack.facts import Fact, load, write
from lorepack.facts.generators import _shuffled, phone_book, random_map
from lorepack.text import normalise

SHARED = Path(__file__).parents[3] / "shared" / "data" / "lora-as-knowledge-memory"
NUMBER = re.compile(r"[2-9]\d\d-[2-9]\d\d-[1-9]\d{3}")


class TestPhoneBook:
    def test_the_first_facts_are_pinned_for_ever(self) -> None:
        assert next(iter(phone_book(1, seed=3))) == Fact(
            "What is the phone number of Paula Chandler?",
            "710-813-1609",
            subject="Paula Chandler",
            relation="phone number",
            object="710-813-1609",
            source="phonebook",
        )

    def test_numbers_have_the_published_digits_and_entropy(self) -> None:
        made = phone_book(20_000)
        assert made.bits_per_value == pytest.approx(32.42, abs=0.005)
        assert made.bits == pytest.approx(20_000 * made.bits_per_value)
        numbers = [fact.answer for fact in made]
        assert all(map(NUMBER.fullmatch, numbers))
        for place in (0, 1, 2, 4, 5, 6, 8, 9, 10, 11):
            seen = Counter(number[place] for number in numbers)
            expected = 20_000 / len(seen)
            assert len(seen) == {0: 8, 4: 8, 8: 9}.get(place, 10)
            assert all(abs(n - expected) < 6 * math.sqrt(expected) for n in seen.values())

    def test_the_published_numbers_are_of_the_same_kind(self) -> None:
        if not SHARED.is_dir():
            pytest.skip("no real data: ../shared/data is not there")
        answers = [fact.answer for fact in load(SHARED / "phonebook_qa_8K.csv")]
        assert all(map(NUMBER.fullmatch, answers))

    def test_no_name_twice_also_where_initials_are_needed(self) -> None:
        plain = 189 * 226
        names = [fact.subject for fact in phone_book(plain + 5_000, seed=1)]
        assert len(set(names)) == plain + 5_000
        assert not any("." in str(name) for name in names[:plain])
        assert all(re.fullmatch(r"\w+ [A-Z]\. \w+", str(name)) for name in names[plain:])

    def test_a_million_names_exist(self) -> None:
        assert 189 * 226 * 27 >= 1_000_000
        assert next(itertools.islice(phone_book(1_000_000), 50_000, None)).subject


class TestRandomMap:
    def test_values_are_uniform_over_the_alphabet(self) -> None:
        made = random_map(5_000, seed=2, alphabet="abcd", length=6)
        assert made.bits_per_value == 12.0
        seen = Counter("".join(fact.answer for fact in made))
        assert set(seen) == set("abcd")
        assert all(abs(n - 7_500) < 6 * math.sqrt(7_500) for n in seen.values())
        assert len({fact.subject for fact in made}) == 5_000

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            ({"alphabet": "a"}, "two signs or more"),
            ({"alphabet": "aba"}, "each once"),
            ({"alphabet": "a b"}, "no space"),
            ({"alphabet": "a\nb"}, "that print"),
            ({"length": 0}, "1 to 1,000"),
            ({"length": 1_001}, "1 to 1,000"),
        ],
    )
    def test_what_has_no_entropy_to_speak_of(self, given: dict[str, object], why: str) -> None:
        with pytest.raises(InputError, match=why):
            random_map(10, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [phone_book, random_map])
class TestBoth:
    def test_a_smaller_set_begins_a_larger_one(self, kind: type) -> None:
        assert list(kind(50, 7)) == list(itertools.islice(kind(1_000_000, 7), 50))

    def test_another_seed_gives_other_names_and_values(self, kind: type) -> None:
        one, other = ({f.subject: f.answer for f in kind(200, seed)} for seed in (0, 1))
        assert len(one.keys() & other.keys()) < 20
        assert not set(one.values()) & set(other.values())

    def test_the_same_each_time_and_readable(self, kind: type, tmp_path: Path) -> None:
        made = kind(30, 4)
        assert list(made) == list(made)
        assert write(tmp_path / "made.jsonl", made) == 30
        assert load(tmp_path / "made.jsonl") == list(made)

    @pytest.mark.parametrize("size", [0, -1, 1_000_001])
    def test_a_size_that_is_not_made(self, kind: type, size: int) -> None:
        with pytest.raises(InputError, match="1 to 1,000,000"):
            kind(size)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 1_000])
def test_shuffling_loses_and_repeats_nothing(count: int) -> None:
    assert sorted(_shuffled(count, "seed")) == list(range(count))


def test_shuffled_numbers_look_random() -> None:
    numbers = list(itertools.islice(_shuffled(1_000_000, "seed"), 2_000))
    steps = Counter(b - a for a, b in itertools.pairwise(numbers))
    assert max(steps.values()) < 20
    assert abs(sum(numbers) / 2_000 - 500_000) < 40_000
    rising = sum(b > a for a, b in itertools.pairwise(numbers))
    assert 900 < rising < 1_100


def test_no_two_names_of_a_large_phone_book_are_alike_after_normalising():
    names = [normalise(fact.subject or "") for fact in phone_book(200_000, seed=3)]
    assert len(set(names)) == len(names)
