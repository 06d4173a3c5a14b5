"""Near-duplicates: found from the threshold on, and never invented."""

from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.errors import InputError
from lorepack.facts.documents import Seen, duplicates
from lorepack.facts.documents.duplicates import _Table, jaccard, shingles

WORDS = [f"word{n}" for n in range(2_000)]


def passage(rng: random.Random, length: int = 200) -> list[str]:
    return rng.choices(WORDS, k=length)


def exact(one: str, other: str) -> float:
    """Jaccard similarity by the book."""

    def sequences(text: str) -> set[tuple[str, ...]]:
        words = text.split()
        return {tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))}

    a, b = sequences(one), sequences(other)
    return len(a & b) / len(a | b)


def test_the_one_that_is_kept_is_named() -> None:
    text = " ".join(passage(random.Random(1)))
    with Seen() as seen:
        assert seen.like(text, "first") is None
        assert seen.like(f"{text.upper()}!", "second") == ("first", 1.0)
        assert seen.like(f"{text} and more", "third") == ("first", pytest.approx(196 / 198))
        assert seen.like(" ".join(passage(random.Random(2))), "fourth") is None


def test_pairs_above_the_threshold_are_found_and_others_are_not() -> None:
    rng, found, due = random.Random(3), 0, 0
    with Seen(0.9) as seen:
        for n in range(300):
            words = passage(rng)
            seen.like(" ".join(words), f"{n}")
            other = list(words)
            for place in rng.sample(range(200), rng.choice([1, 2, 3, 4, 6, 9])):
                other[place] = "changed"
            alike = exact(" ".join(words), " ".join(other))
            told = seen.like(" ".join(other), f"{n}b")
            if told:
                assert told == (f"{n}", pytest.approx(alike))
                assert alike >= 0.9
            due += alike >= 0.9
            found += told is not None
    assert due > 90
    assert found >= 0.98 * due


@given(*[st.lists(st.sampled_from(["a", "b", "c"]), max_size=30).map(" ".join)] * 2)
def test_similarity_is_that_of_the_sequences(one: str, other: str) -> None:
    if one and other:
        assert jaccard(shingles(one), shingles(other)) == pytest.approx(exact(one, other))


def test_texts_without_words_or_spaces() -> None:
    with Seen() as seen:
        assert seen.like("***", "signs") is None
        assert seen.like("***", "again") == ("signs", 1.0)
        assert seen.like("---", "others") is None
        chinese = "".join(chr(0x4E00 + n) for n in range(300))
        assert seen.like(chinese, "chinese") is None
        assert seen.like(chinese[:-3], "shorter") == ("chinese", pytest.approx(293 / 296))


def test_the_table_gives_what_was_put_in() -> None:
    rng, table = random.Random(4), _Table()
    held: dict[int, list[int]] = {}
    keys = [rng.getrandbits(64) for _ in range(3_000)] + [1 << 20, 1 << 21, 1 << 22]
    for n in range(20_000):
        key = rng.choice(keys)
        table.add(key, n)
        if len(held.setdefault(key, [])) < 16:
            held[key].append(n)
    assert all(sorted(table.get(key)) == numbers for key, numbers in held.items())
    assert list(table.get(7)) == []


@pytest.mark.parametrize("threshold", [0, 0.4, 1.1, float("nan")])
def test_a_threshold_that_cannot_be(threshold: float) -> None:
    with pytest.raises(InputError, match=r"expected 0\.5 to 1"):
        Seen(threshold)


def test_a_signature_is_the_same_however_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    found = shingles(" ".join(passage(random.Random(5), 500)))
    with Seen() as seen:
        whole = seen._keys(found)
        monkeypatch.setattr(duplicates, "_SLICE", 7)
        assert seen._keys(found) == whole


def test_a_passage_of_a_whole_book_takes_no_more_than_it_is() -> None:
    found = np.arange(400_000, dtype=np.uint64)
    with Seen() as seen:
        tracemalloc.start()
        seen._keys(found)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 16 << 20
