"""What an adapter is said to store is what it stores: never more than there is, or fits."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorepack import llm, lora
from lorepack.auditing import bits as estimator
from lorepack.auditing import capacity
from lorepack.auditing.bits import Measured, Size
from lorepack.auditing.values import PHONE, Values, made_values
from lorepack.facts.generators import phone_book, random_map
from lorepack.llm import ANSWER, QUESTION, LanguageModel

STORIES = Path(__file__).parents[3] / "shared/data/models/stories260K"
LN2 = math.log(2)
NATS = st.lists(st.floats(0, 200), min_size=1, max_size=30)


def measured(trained: Any, base: Any = None, fresh: Any = (), wrong: Any = ()) -> Measured:
    base = np.full(len(trained), 1e3) if base is None else base
    return Measured(*(np.array(part, dtype=np.float64) for part in (trained, base, fresh, wrong)))


# --- the figures, from likelihoods ---------------------------------------------------------------


def test_figures_are_those_of_a_hand_computation() -> None:
    found = measured([LN2 * 4, LN2 * 40], fresh=[LN2 * 30, LN2 * 60, LN2 * 0], wrong=[LN2 * 7])
    row = estimator.bits(found, 32.0, True, Size(8, 6)).to_json()
    assert row["bits"]["unclipped"] == pytest.approx(28 - 8)
    assert row["bits"]["clipped"] == pytest.approx(28)
    assert row["bits"]["memory"] == pytest.approx(2 * (30 - 22))
    assert row["bits_a_parameter"]["unclipped"] == pytest.approx(2.5)
    assert row["bits_a_parameter"]["rank_effective"] == pytest.approx(16 / 6)
    assert row["bits_a_parameter"]["stored_bit"] == pytest.approx(16 / 8 / 16)
    assert row["ceiling_a_parameter"] == 8.0
    assert row["nll_bits"]["wrong_key"] == pytest.approx(7)
    assert row["nll_bits"]["fresh"] == pytest.approx(30)
    assert row["known_entropy"] is True


@given(trained=NATS, fresh=NATS, entropy=st.floats(0.1, 100), slack=st.floats(0, 50))
def test_never_more_than_the_values_hold(
    trained: list[float], fresh: list[float], entropy: float, slack: float
) -> None:
    base = [value + slack for value in trained]
    found = estimator.bits(measured(trained, base, fresh), entropy, True, Size(10**6, 1))
    whole = len(trained) * entropy * (1 + 1e-12)
    assert found.unclipped <= found.clipped + 1e-9
    assert 0 <= found.clipped <= whole
    assert found.memory is not None
    assert 0 <= found.memory <= whole
    assert found.memory <= max(0.0, found.unclipped) * (1 + 1e-9) + 1e-9


@given(base=NATS, fresh=NATS, entropy=st.none() | st.floats(0.1, 100))
def test_what_changes_nothing_stores_nothing(
    base: list[float], fresh: list[float], entropy: float | None
) -> None:
    found = estimator.bits(measured(base, base, fresh), entropy, True, Size(100, 90))
    assert found.clipped == 0
    assert found.unclipped <= 0
    assert found.memory == 0


@given(count=st.integers(1, 500), parameters=st.integers(1, 100))
def test_more_bits_than_fit_are_an_upper_bound(count: int, parameters: int) -> None:
    found = estimator.bits(measured([0.0] * count), 32.0, True, Size(parameters, parameters))
    assert found.known_entropy == (32 * count <= 16 * parameters)
    assert found.to_json()["upper_bound"] != found.known_entropy


@given(chance=st.floats(0.01, 0.99), entropy=st.floats(1, 40))
def test_fano_is_what_a_model_stores_that_knows_only_how_sure_it_is(
    chance: float, entropy: float
) -> None:
    # It gives its guess that chance and all other values equal shares of the rest.
    others = 2**entropy - 1
    hit, miss = -math.log(chance), -math.log((1 - chance) / others)
    mean = chance * hit + (1 - chance) * miss
    stored = estimator.bits(measured([mean] * 7), entropy, True, Size(10**6, 1)).unclipped
    assert estimator.fano(chance, 7, entropy) == pytest.approx(max(0.0, stored), abs=1e-6)


@given(accuracy=st.floats(0, 1), entropy=st.floats(1, 60))
def test_fano_stays_within_the_entropy(accuracy: float, entropy: float) -> None:
    assert 0 <= estimator.fano(accuracy, 10, entropy) <= 10 * entropy * (1 + 1e-12)
    assert estimator.fano(1.0, 10, entropy) == pytest.approx(10 * entropy)


def test_false_recall_counts_sure_and_well_formed_answers_alone() -> None:
    found = estimator.false_recall(["a", "b", "c", "d"], [0.9, 0.5, 0.51, 1.0], [1, 1, 1, 0])
    assert found == {"keys": 4, "share": 0.5, "threshold": 0.5}
    assert estimator.false_recall([], [], [])["share"] is None


# --- what is known of values ---------------------------------------------------------------------


def test_made_values_are_recognised_with_their_entropy() -> None:
    book = list(phone_book(200, seed=3))
    found = made_values(book, 1000)
    assert found is not None
    assert found.known
    assert found.bits == phone_book(1).bits_per_value == pytest.approx(32.42, abs=0.02)
    assert len(found.fresh) == 1000
    assert not {f.question for f in book} & {f.question for f in found.fresh}
    assert all(found.well_formed(f.answer) for f in (*book, *found.fresh))
    assert not found.well_formed("123-456-7890")  # no area begins with 1
    codes = list(random_map(300, seed=1, alphabet="xyz]", length=5))
    found = made_values(codes, 3)
    assert found is not None
    assert found.bits == pytest.approx(10)
    assert found.well_formed("]xyzx")
    assert not found.well_formed("]xyz")


def test_values_that_only_look_made_are_not_believed() -> None:
    book = list(phone_book(200, seed=3))
    same = [replace(fact, answer=book[0].answer, id="") for fact in book]
    found = made_values(same, 1)
    assert found is not None
    assert not found.known
    assert found.note
    assert made_values([replace(book[0], answer="soon", id=""), *book[1:]], 1) is None
    assert made_values([replace(book[0], source=None), *book[1:]], 1) is None


def test_every_phone_number_that_is_drawn_is_well_formed() -> None:
    assert all(PHONE.fullmatch(fact.answer) for fact in phone_book(5_000, seed=9))


# --- with a model --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    if not STORIES.is_dir():
        pytest.skip("stories260K is not there")
    return llm.load(str(STORIES))


def adapter(lm: LanguageModel, scale: float) -> lora.Stack:
    """An adapter whose B is drawn, or zero."""
    spec = lora.AdapterSpec.for_model(lm.model, rank=2, alpha=4, roles=("all-linear",))
    stack = lora.Stack(lm.model, [spec], [5])
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for site in stack.sites.values():
            site.B.copy_(torch.randn(site.B.shape, generator=draw) * scale)
    return stack


def figures(lm: LanguageModel, stack: lora.Stack, out: Path, count: int = 12, **more: Any) -> Any:
    facts = list(phone_book(count))
    values = made_values(facts, 8)
    assert values is not None
    with stack.attached(), stack.using(None):
        return capacity.measure(capacity.Probe(lm, stack), facts, values, out, inputs="x", **more)


def test_a_zero_adapter_stores_nothing(lm: LanguageModel, tmp_path: Path) -> None:
    found = figures(lm, adapter(lm, 0), tmp_path)
    assert found["bits"]["clipped"] == found["bits"]["memory"] == 0
    assert found["nll_bits"]["trained"] == found["nll_bits"]["base"] > 32.4
    assert found["recalled"]["share"] == 0
    assert found["parameters"] == 11_560
    assert found["rank_effective_parameters"] == 11_560 - 35 * 4


def test_likelihoods_are_those_of_merged_weights_in_fp64(lm: LanguageModel, tmp_path: Path) -> None:
    stack = adapter(lm, 0.05)
    found = figures(lm, stack, tmp_path)
    spec, factors = stack.plain(0)
    sums = []
    double = llm.load(str(STORIES)).model.double()
    with torch.no_grad():
        for name, (A, B) in factors.items():
            double.get_submodule(name).weight += spec.scale * (B.double() @ A.double())
        for fact in phone_book(12):
            ids, start = lm.chat.example_ids(
                QUESTION.format(q=fact.question), ANSWER.format(a=fact.answer)
            )
            ids = ids[:-1]  # </s> stands behind the newline that ends the answer
            logits = double(torch.tensor([ids])).logits[0].numpy()
            logp = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
            sums.append(-sum(logp[i - 1, ids[i]] for i in range(start, len(ids))))
    assert found["nll_bits"]["trained"] == pytest.approx(np.mean(sums) / LN2, rel=1e-5)
    stored = sum(phone_book(1).bits_per_value - value / LN2 for value in sums)
    assert found["bits"]["unclipped"] == pytest.approx(stored, rel=1e-4)


def test_an_answer_ends_where_decoding_does(lm: LanguageModel) -> None:
    prompt, answer = capacity.scored(lm, "Who?", "879-211-7268")
    assert lm.tokenizer.decode(answer).strip() == "879-211-7268"
    assert lm.tokenizer.convert_ids_to_tokens(answer)[-1] == "<0x0A>"
    assert prompt == lm.chat.prompt_ids(QUESTION.format(q="Who?"))


def test_it_goes_on_where_it_stopped_and_ends_with_the_same_bytes(
    lm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = adapter(lm, 0.05)
    monkeypatch.setattr(capacity, "_CHUNK", 5)
    figures(lm, stack, tmp_path / "whole")

    def stop(done: int, total: int) -> None:
        assert done <= total == 60
        if done > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        figures(lm, stack, tmp_path / "cut", progress=stop)
    assert not (tmp_path / "cut/bits.json").exists()
    asked: list[int] = []
    before = capacity.score
    monkeypatch.setattr(
        capacity, "score", lambda *given: asked.append(len(given[1])) or before(*given)
    )
    figures(lm, stack, tmp_path / "cut")
    assert sum(asked) < 60
    for name in ("bits.json", "facts.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not (tmp_path / "cut/partial").exists()


def test_unknown_entropy_is_an_upper_bound(lm: LanguageModel, tmp_path: Path) -> None:
    stack = adapter(lm, 0.05)
    facts = list(phone_book(4))
    with stack.attached(), stack.using(None):
        found = capacity.measure(
            capacity.Probe(lm, stack), facts, Values(None, False), tmp_path, inputs="x"
        )
    assert found["upper_bound"]
    assert found["entropy_bits"] == found["nll_bits"]["base"]
    assert found["bits"]["memory"] is None
    assert found["false_recall"] == {"keys": 0, "share": None, "threshold": 0.5}
    assert found["fano_bits"] is None
