"""One tokenizer for both models, which loses nothing and writes the chat format."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorepack import world
from lorepack.world import chats, tokenizer

SHIPPED = world.NAMES


@pytest.fixture(scope="module")
def loaded():
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(world.model_path("world"))


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=80))
def test_any_text_survives_without_unknown_token(loaded, text):
    ids = loaded(text, add_special_tokens=False).input_ids
    assert loaded.decode(ids) == text
    assert loaded.unk_token_id is None


def test_special_tokens_are_distinct(loaded):
    assert len({loaded.bos_token_id, loaded.eos_token_id, loaded.pad_token_id}) == 3


def test_plain_text_starts_with_bos_once(loaded):
    ids = loaded("Where?").input_ids
    assert ids[0] == loaded.bos_token_id
    assert ids.count(loaded.bos_token_id) == 1


def test_training_sees_exactly_what_the_chat_template_writes(loaded):
    for messages in chats.conversations(30):
        marked, count = tokenizer.encode_chat(loaded.backend_tokenizer, messages)
        ids = [-token - 1 if token < 0 else token for token in marked]
        assert ids == loaded.apply_chat_template(messages, return_dict=False)
        assert count == sum(token < 0 for token in marked) > 0


@pytest.mark.parametrize("number", ["1874", "0799", "12,405", "13 April 1905"])
def test_numbers_are_read_in_pairs_of_digits_from_the_left(loaded, number):
    ids = loaded(number, add_special_tokens=False).input_ids
    runs = [loaded.decode([i]) for i in ids]
    assert [run for run in runs if run.isdigit()] == re.findall(r"\d{1,2}", number)


def test_both_models_share_one_tokenizer():
    first, second = ((world.model_path(name) / "tokenizer.json").read_bytes() for name in SHIPPED)
    assert first == second
