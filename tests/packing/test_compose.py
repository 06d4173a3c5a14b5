"""The mix has exactly the asked sizes, keeps its promises, and is the same every time."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lorepack.errors import InputError
from lorepack.facts import Fact
from lorepack.packing.compose import Mix, compose
from lorepack.text import normalise

CATEGORIES = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")


class Probed(dict[str, str]):
    """Categories as a probe gives them."""

    def category_of(self, fact_id: str) -> str:
        return self[fact_id]


def world(
    size: int = 240, seed: int = 0, answers: int = 1000, wordings: int = 6
) -> tuple[list[Fact], Probed]:
    """Facts of uneven relations and popularities, categories at random."""
    rng = random.Random(seed)
    facts = [
        Fact(
            f"Which of {i}?",
            f"Answer {rng.randrange(answers)}",
            paraphrases=tuple(f"Wording {w} of {i}?" for w in range(wordings)),
            relation=rng.choice(["born", "born", "born", "wrote", "owns"]),
            popularity=rng.choice([1.0, 1.0, 2.0, 5.0, 30.0]),
        )
        for i in range(size)
    ]
    return facts, Probed({fact.id: rng.choice(CATEGORIES) for fact in facts})


FACTS, PROBE = world()
UNKNOWN = [fact for fact in FACTS if PROBE[fact.id] == "Unknown"]
KNOWN = [fact for fact in FACTS if PROBE[fact.id] == "HighlyKnown"]


def hand_made(*rows: tuple[str, str]) -> tuple[list[Fact], Probed]:
    """Unknown facts from ``(answer, relation)``."""
    facts = [Fact(f"q{i}", answer, relation=rel) for i, (answer, rel) in enumerate(rows)]
    return facts, Probed({fact.id: "Unknown" for fact in facts})


@given(
    st.integers(1, 12), st.integers(0, 3), st.integers(0, 4), st.integers(0, 9),
    st.sampled_from(["stratified", "positional"]),
)  # fmt: skip
def test_sizes_are_exact_and_the_parts_disjoint(
    n: int, known: int, paraphrases: int, seed: int, selection: str
) -> None:
    mix = compose(
        FACTS, PROBE, unknown=n, known=known, paraphrases=paraphrases, seed=seed,
        selection=selection,
    )  # fmt: skip
    assert len(mix.examples) == n * (1 + known + paraphrases)
    kinds = Counter(example.kind for example in mix.examples)
    assert kinds == +Counter(unknown=n, known=n * known, paraphrase=n * paraphrases)
    assert len(set(mix.trained)) == n
    assert len(set(mix.known)) == n * known
    assert {PROBE[i] for i in mix.trained} == {"Unknown"}
    assert {PROBE[i] for i in mix.known} <= {"HighlyKnown"}
    place = {fact.id: i for i, fact in enumerate(FACTS)}
    for ids in (mix.trained, mix.known):
        assert list(ids) == sorted(ids, key=place.__getitem__)


@given(st.integers(1, 12), st.integers(0, 5), st.integers(1, 6), st.integers(0, 9))
def test_trained_and_heldout_wordings_never_meet(
    n: int, paraphrases: int, heldout: int, seed: int
) -> None:
    mix = compose(FACTS, PROBE, unknown=n, paraphrases=paraphrases, heldout=heldout, seed=seed)
    by_id = {fact.id: fact for fact in FACTS}
    for ident in mix.trained:
        trained = [e.question for e in mix.examples if e.fact_id == ident]
        assert trained[0] == by_id[ident].question
        assert len(set(trained)) == 1 + paraphrases
        assert set(trained).isdisjoint(mix.heldout[ident])
        assert set(trained[1:]) | set(mix.heldout[ident]) <= set(by_id[ident].paraphrases)
        assert len(mix.heldout[ident]) == min(heldout, 6 - paraphrases)
    assert {e.answer for e in mix.examples} == {by_id[i].answer for i in mix.trained}


@given(st.integers(1, 12), st.integers(0, 99), st.sampled_from([None, 0.5]))
def test_equal_arguments_make_equal_mixes(n: int, seed: int, cap: float | None) -> None:
    assume(cap is None or n > 1)
    one, two = (
        compose(
            list(FACTS), Probed(PROBE), unknown=n, known=1, paraphrases=1, seed=seed,
            answer_cap=cap,
        )
        for _ in range(2)
    )  # fmt: skip
    assert one == two
    assert json.dumps(one.manifest()) == json.dumps(two.manifest())


def test_another_seed_makes_another_mix() -> None:
    mixes = [compose(FACTS, PROBE, unknown=12, known=2, paraphrases=2, seed=s) for s in range(4)]
    for one, two in combinations(mixes, 2):
        assert set(one.trained) != set(two.trained)
        assert set(one.known) != set(two.known)
        assert one.manifest()["hashes"] != two.manifest()["hashes"]


def test_mixes_of_a_grid_can_be_compared() -> None:
    plain, known, worded = (
        compose(FACTS, PROBE, unknown=10, known=k, paraphrases=p, heldout=2, seed=5)
        for k, p in [(0, 0), (3, 0), (0, 3)]
    )
    assert plain.trained == known.trained == worded.trained
    assert plain.heldout == known.heldout == worded.heldout


@given(st.integers(1, 50), st.integers(0, 99))
def test_every_relation_and_popularity_has_its_share(n: int, seed: int) -> None:
    mix = compose(FACTS, PROBE, unknown=n, seed=seed)
    chosen = [fact for fact in UNKNOWN if fact.id in set(mix.trained)]
    ordered = sorted(fact.popularity or 0 for fact in FACTS)
    low, high = ordered[len(ordered) // 3], ordered[2 * len(ordered) // 3]

    def strata(facts: list[Fact]) -> Counter[tuple[str | None, int]]:
        return Counter((f.relation, (f.popularity >= low) + (f.popularity >= high)) for f in facts)  # type: ignore[operator]

    present, drawn = strata(UNKNOWN), strata(chosen)
    assert len(present) > 5
    for stratum, size in present.items():
        assert abs(drawn[stratum] - n * size / len(UNKNOWN)) < 1


def test_what_rounding_leaves_goes_to_the_largest_remainders() -> None:
    sizes = {"ten": 10, "nine": 9, "one": 1}
    facts, probe = hand_made(*[(f"{rel} {i}", rel) for rel, n in sizes.items() for i in range(n)])
    mix = compose(facts, probe, unknown=4, seed=0)  # shares 2.0, 1.8 and 0.2
    assert Counter(e.answer.split()[0] for e in mix.examples) == {"ten": 2, "nine": 2}


def test_positional_takes_the_first_whatever_the_seed() -> None:
    for seed in (0, 1):
        mix = compose(FACTS, PROBE, unknown=7, known=2, seed=seed, selection="positional")
        assert list(mix.trained) == [fact.id for fact in UNKNOWN[:7]]
        assert list(mix.known) == [fact.id for fact in KNOWN[:14]]


def test_facts_without_relation_popularity_or_wordings_do() -> None:
    facts = [Fact(f"q{i}", f"a{i}") for i in range(30)]
    probe = Probed({fact.id: "Unknown" for fact in facts})
    mix = compose(facts, probe, unknown=10, seed=0)
    assert len(mix.examples) == 10
    assert mix.heldout == {}
    assert mix.trained != compose(facts, probe, unknown=10, seed=1).trained


def test_all_unknown_facts() -> None:
    mix = compose(FACTS, PROBE, unknown="all", seed=0)
    assert list(mix.trained) == [fact.id for fact in UNKNOWN]
    assert mix.warnings == ()


def test_excluded_facts_stay_out() -> None:
    gone = {fact.id for fact in UNKNOWN[10:]} | {fact.id for fact in KNOWN[:20]}
    mix = compose(FACTS, PROBE, unknown="all", known=1, seed=0, exclude_ids=gone)
    assert list(mix.trained) == [fact.id for fact in UNKNOWN[:10]]
    assert len(mix.known) == 10
    assert gone.isdisjoint(mix.known)


class TestWordings:
    def test_the_question_itself_and_repeats_are_no_other_wordings(self) -> None:
        fact = Fact("Who is Bo?", "Ann", paraphrases=("who is bo", "Bo is who?", "bo is who", " "))
        probe = Probed({fact.id: "Unknown"})
        mix = compose([fact], probe, unknown=1, seed=0)
        assert mix.heldout == {fact.id: ("Bo is who?",)}
        with pytest.raises(InputError, match=r"0 of 1 have as many \(the most: 1\)"):
            compose([fact], probe, unknown=1, paraphrases=1, seed=0)
        trained = compose([fact], probe, unknown=1, paraphrases=1, heldout=0, seed=0)
        assert [e.question for e in trained.examples] == ["Who is Bo?", "Bo is who?"]

    def test_too_few_say_how_many_there_are(self) -> None:
        said = (
            f"asked 5 Unknown facts with 7 other wordings each (6 to train, 1 to hold out), 0 of "
            f"{len(UNKNOWN)} have as many (the most: 6)"
        )
        with pytest.raises(InputError, match=re.escape(said)):
            compose(FACTS, PROBE, unknown=5, paraphrases=6, seed=0)

    def test_only_facts_with_enough_are_chosen(self) -> None:
        facts = [
            Fact(f"q{i}", f"a{i}", paraphrases=tuple(f"w{w} {i}" for w in range(i % 4)))
            for i in range(40)
        ]
        probe = Probed({fact.id: "Unknown" for fact in facts})
        mix = compose(facts, probe, unknown=10, paraphrases=2, seed=0)
        assert list(mix.trained) == [fact.id for fact in facts[3::4]]
        every = compose(facts, probe, unknown="all", paraphrases=2, seed=0)
        assert every.trained == mix.trained
        assert every.warnings == ("30 Unknown facts passed over: too few wordings",)


class TestShortages:
    def test_fewer_unknown_facts_than_asked(self) -> None:
        with pytest.raises(
            InputError, match=f"asked 500 Unknown facts, the model has {len(UNKNOWN)}"
        ):
            compose(FACTS, PROBE, unknown=500, seed=0)

    def test_weakly_known_is_not_unknown(self) -> None:
        probe = Probed({fact.id: "WeaklyKnown" for fact in FACTS})
        with pytest.raises(InputError, match="no Unknown facts"):
            compose(FACTS, probe, unknown="all", seed=0)

    def test_fewer_known_facts_than_asked(self) -> None:
        said = (
            r"asked 90 HighlyKnown facts \(9 for each of 10 Unknown ones\), "
            f"the model has {len(KNOWN)}"
        )
        with pytest.raises(InputError, match=said):
            compose(FACTS, PROBE, unknown=10, known=9, seed=0)

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"unknown": 0}, "unknown=0: expected a number of at least 1, or 'all'"),
            ({"unknown": "some"}, "unknown='some'"),
            ({"known": -1}, "known=-1: expected 0 or more"),
            ({"paraphrases": -1}, "paraphrases=-1"),
            ({"heldout": -1}, "heldout=-1"),
            ({"answer_cap": 0.0}, "answer_cap=0.0: expected a share"),
            ({"answer_cap": 5}, "answer_cap=5: expected a share"),
            ({"selection": "positionel"}, "did you mean positional"),
        ],
    )
    def test_numbers_out_of_range(self, changed: dict[str, object], said: str) -> None:
        with pytest.raises(InputError, match=said):
            compose(FACTS, PROBE, **{"unknown": 5, "seed": 0, **changed})  # type: ignore[arg-type]


class TestAnswerCap:
    @given(
        st.integers(2, 40), st.sampled_from([0.05, 0.1, 0.2, 1 / 3, 0.5, 1.0]),
        st.sampled_from(["stratified", "positional"]), st.integers(0, 9),
    )  # fmt: skip
    def test_no_answer_exceeds_it(self, n: int, cap: float, selection: str, seed: int) -> None:
        facts, probe = world(300, seed=1, answers=12)
        try:
            mix = compose(facts, probe, unknown=n, seed=seed, answer_cap=cap, selection=selection)
        except InputError:
            present = Counter(f.answer for f in facts if probe[f.id] == "Unknown")
            assert sum(min(count, int(cap * n + 1e-9)) for count in present.values()) < n
            return
        assert len(mix.trained) == n
        assert max(answers(mix).values()) <= cap * n + 1e-9

    def test_all_is_the_largest_mix_that_keeps_to_it(self) -> None:
        facts, probe = hand_made(*[("Rome", "r")] * 20, *[(f"a{i}", "r") for i in range(12)])
        mix = compose(facts, probe, unknown="all", seed=3, answer_cap=0.25)
        assert answers(mix)["rome"] == 4
        assert len(mix.trained) == 16
        assert mix.warnings == ("16 Unknown facts passed over: answer cap 0.25",)
        with pytest.raises(InputError, match="of 32 the largest such mix has 16"):
            compose(facts, probe, unknown=17, seed=3, answer_cap=0.25)

    def test_answers_are_compared_in_their_normal_form(self) -> None:
        facts, probe = hand_made(("Rome", "r"), ("rome!", "r"), ("Ulm", "r"), ("Bonn", "r"))
        mix = compose(facts, probe, unknown=3, seed=0, answer_cap=0.34)
        assert {normalise(e.answer) for e in mix.examples} == {"rome", "ulm", "bonn"}

    def test_a_cap_that_nothing_meets(self) -> None:
        facts, probe = hand_made(("Rome", "r"), ("Ulm", "r"))
        with pytest.raises(InputError, match="no mix of these facts keeps to it"):
            compose(facts, probe, unknown="all", seed=0, answer_cap=0.1)

    def test_without_a_cap_a_common_answer_is_a_warning(self) -> None:
        facts, probe = hand_made(*[("Rome", "r")] * 20, *[(f"a{i}", "r") for i in range(80)])
        (warning,) = compose(facts, probe, unknown="all", seed=0).warnings
        assert "answer 'Rome' stands for 20 of 100 Unknown facts" in warning
        assert compose(facts, probe, unknown=50, seed=0, answer_cap=0.05).warnings == ()


def answers(mix: Mix) -> Counter[str]:
    return Counter(normalise(e.answer) for e in mix.examples if e.kind == "unknown")


def test_rows_and_manifest() -> None:
    mix = compose(FACTS, PROBE, unknown=3, known=1, paraphrases=2, heldout=1, seed=4)
    rows = mix.to_rows()
    assert [row["kind"] for row in rows] == ["unknown", "paraphrase", "paraphrase"] * 3 + [
        "known"
    ] * 3
    assert set(rows[0]) == {"fact_id", "kind", "question", "answer"}
    manifest = mix.manifest()
    assert json.loads(json.dumps(manifest)) == manifest
    assert manifest["counts"] == {
        "examples": 12, "unknown": 3, "known": 3, "paraphrase": 6, "heldout": 3, "lucky": 0,
    }  # fmt: skip
    assert manifest["trained"] == list(mix.trained)
    assert manifest["settings"]["seed"] == 4
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in manifest["hashes"].values())


class LuckyProbe(Probed):
    """Categories with the luck of every fact."""

    luck: dict[str, float]


def with_luck(share: float) -> LuckyProbe:
    """Of the HighlyKnown facts so many, from the front, are known by luck."""
    probe = LuckyProbe(PROBE)
    lucky = {fact.id for fact in KNOWN[: round(share * len(KNOWN))]}
    probe.luck = {fact.id: 0.05 if fact.id in lucky else 0.0499 for fact in FACTS}
    return probe


def test_facts_known_by_luck_remind_of_nothing_and_are_counted() -> None:
    probe = with_luck(0.5)
    lucky = {i for i, luck in probe.luck.items() if luck >= 0.05}
    for seed in range(5):
        mix = compose(FACTS, probe, unknown=5, known=3, seed=seed)
        assert lucky.isdisjoint(mix.known)
        assert mix.manifest()["counts"]["lucky"] == mix.lucky == len(lucky)
        assert any(f"{len(lucky)} of {len(KNOWN)} HighlyKnown" in w for w in mix.warnings)
        # Unknown facts are unknown whatever their answer
        assert mix.trained == compose(FACTS, PROBE, unknown=5, known=3, seed=seed).trained
    asked = compose(FACTS, probe, unknown=5, known=3, seed=0, allow_lucky=True)
    assert asked.known == compose(FACTS, PROBE, unknown=5, known=3, seed=0).known
    assert asked.lucky == 0
    assert asked.warnings == compose(FACTS, PROBE, unknown=5, known=3, seed=0).warnings


def test_too_few_beyond_luck_is_an_error_that_names_both_numbers() -> None:
    probe = with_luck(1.0)
    with pytest.raises(InputError, match=rf"the model has 0, and {len(KNOWN)} by luck alone"):
        compose(FACTS, probe, unknown=1, known=1)
    assert compose(FACTS, probe, unknown=1, known=0).lucky == len(KNOWN)


def test_a_probe_that_knows_nothing_of_luck_leaves_nothing_out() -> None:
    assert compose(FACTS, PROBE, unknown=5, known=3).lucky == 0
