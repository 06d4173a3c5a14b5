"""What is trained is what is asked, in the words that the model's own template gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing

from lorepack.errors import InputError
from lorepack.llm import ANSWER, QUESTION, SYSTEM, ChatFormat, LanguageModel, Turn

from .conftest import byte_tokenizer

LLAMA3 = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{% set system_message = messages[0]['content']|trim %}{% set messages = messages[1:] %}"
    "{% else %}{% set system_message = '' %}{% endif %}"
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "<|start_header_id|>system<|end_header_id|>\n\nToday Date: {{ date_string }}\n\n"
    "{{ system_message }}<|eot_id|>"
    "{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<start_of_turn>"
    "{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}"
    "{{ '[INST] ' + m['content'] + ' [/INST]' }}{% elif m['role'] == 'assistant' %}"
    "{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"  # drops a system message
)
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['role'] == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
    "{% endif %}"
)
TEMPLATES = {
    "llama3": (LLAMA3, ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]),
    "gemma": (GEMMA, ["<start_of_turn>", "<end_of_turn>"]),
    "chatml": (CHATML, ["<|im_start|>", "<|im_end|>"]),
    "mistral": (MISTRAL, ["[INST]", "[/INST]"]),
    "thinking": (THINKING, ["<|im_start|>", "<|im_end|>", "<think>", "</think>"]),
}
ENDS = {
    "llama3": "<|eot_id|>",
    "gemma": "<end_of_turn>",
    "chatml": "<|im_end|>",
    "mistral": "</s>",
    "thinking": "<|im_end|>",
}
KEEPS_SYSTEM = ("llama3", "chatml", "thinking")
TURNS = (
    Turn("Question: Where is Rome?", "Answer: Italy"),
    Turn("Question: Who wrote Emma?", "Answer: Jane Austen"),
)
EXTRA = {"date_string": "26 Jul 2024", "enable_thinking": False}


def with_template(name: str) -> Any:
    """A tokenizer that adds BOS by itself, with the named template."""
    template, added = TEMPLATES[name]
    tokenizer = byte_tokenizer(chat_template=template)
    tokenizer.add_special_tokens({"additional_special_tokens": added})
    return adding_bos(tokenizer)


def adding_bos(tokenizer: Any) -> Any:
    tokenizer._tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    assert tokenizer.encode("a")[0] == tokenizer.bos_token_id
    return tokenizer


def messages(name: str, user: str, turns: tuple[Turn, ...], system: str) -> list[dict[str, str]]:
    """The conversation as its template takes it."""
    told = [("user", user)]
    for turn in reversed(turns):
        told = [("user", turn.user), ("assistant", turn.assistant), *told]
    if system and name in KEEPS_SYSTEM:
        told = [("system", system), *told]
    elif system:
        told[0] = ("user", f"{system}\n\n{told[0][1]}")
    return [{"role": role, "content": content} for role, content in told]


def ids_of(tokenizer: Any, *args: Any, **options: Any) -> list[int]:
    return list(tokenizer.apply_chat_template(*args, return_dict=False, **EXTRA, **options))


@pytest.mark.parametrize("system", [SYSTEM, ""])
@pytest.mark.parametrize("turns", [(), TURNS])
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_prompt_is_the_templates_own_rendering(
    name: str, turns: tuple[Turn, ...], system: str
) -> None:
    tokenizer = with_template(name)
    chat = ChatFormat(tokenizer)
    for user in (
        "Question: What is it?",
        "  spaces around \n",
        "<b> {markup} [INST]",
        "Was ist ß?",
    ):
        asked = messages(name, user, turns, system)
        expected = ids_of(tokenizer, asked, add_generation_prompt=True)
        assert chat.prompt_ids(user, turns, system) == expected
        assert expected.count(tokenizer.bos_token_id) == ("bos" in TEMPLATES[name][0])


@pytest.mark.parametrize("name", TEMPLATES)
def test_an_example_is_the_whole_rendering_up_to_the_end_of_the_turn(name: str) -> None:
    tokenizer = with_template(name)
    chat = ChatFormat(tokenizer)
    user, assistant = "Question: What is it?", "Answer: Löwe 7"
    ids, start = chat.example_ids(user, assistant, TURNS)
    asked = messages(name, user, TURNS, SYSTEM)
    whole = ids_of(tokenizer, [*asked, {"role": "assistant", "content": assistant}])
    assert ids == whole[: len(ids)]
    assert tokenizer.decode(whole[len(ids) :]).strip() == ""
    assert ids[:start] == chat.prompt_ids(user, TURNS)
    assert ids[-1] == chat.end_id == tokenizer.convert_tokens_to_ids(ENDS[name])
    assert set(chat.stop_ids) == {tokenizer.eos_token_id, chat.end_id}
    assert tokenizer.decode(ids[start:-1]).strip() == assistant


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([*TEMPLATES, "plain"]), st.text(max_size=40), st.text(max_size=20))
def test_a_prompt_is_exactly_a_prefix_of_its_example(name: str, user: str, assistant: str) -> None:
    chat = CHATS.setdefault(name, None) or ChatFormat(
        adding_bos(byte_tokenizer()) if name == "plain" else with_template(name)
    )
    CHATS[name] = chat
    ids, start = chat.example_ids(user, assistant, TURNS)
    assert ids[:start] == chat.prompt_ids(user, TURNS)
    assert ids[-1] == chat.end_id
    assert len(ids) > start


CHATS: dict[str, Any] = {}


def test_without_a_template_questions_and_answers_are_lines() -> None:
    tokenizer = adding_bos(byte_tokenizer())
    chat = ChatFormat(tokenizer)
    user, assistant = QUESTION.format(q="What is it?"), ANSWER.format(a="a lion")
    shown = (
        "<s>Answer the following question.\n\n"
        "Question: Where is Rome?\nAnswer: Italy\n\n"
        "Question: Who wrote Emma?\nAnswer: Jane Austen\n\n"
        "Question: What is it?\nAnswer:"
    )
    assert tokenizer.decode(chat.prompt_ids(user, TURNS)) == shown
    assert chat.prompt_ids("What is it?", TURNS) == chat.prompt_ids(user, TURNS)
    ids, start = chat.example_ids(user, assistant, TURNS)
    assert tokenizer.decode(ids[start:]) == " a lion\n</s>"
    assert chat.example_ids(user, "a lion", TURNS) == (ids, start)
    bare = chat.prompt_ids("Text: Rome is old.\nQuestion: How is Rome?", system="")
    assert tokenizer.decode(bare) == "<s>Text: Rome is old.\nQuestion: How is Rome?\nAnswer:"


def test_a_real_tokenizer_with_pad_equal_to_eos(stories: LanguageModel) -> None:
    """Sentencepiece-like pieces: no space token is made up between prompt and answer."""
    chat, tokenizer = stories.chat, stories.tokenizer
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    ids, start = chat.example_ids("Question: Who is it?", "Answer: Tom", TURNS)
    assert tokenizer.decode(ids[start:]) == "Tom\n</s>"
    assert ids[:-1] == tokenizer.encode(tokenizer.decode(ids[1:-1]))
    assert ids.count(tokenizer.bos_token_id) == 1
    assert chat.continuation_ids(" Tom\n") == ids[start:-1]


def test_a_tokenizer_that_adds_eos_does_not_end_the_prompt() -> None:
    tokenizer = byte_tokenizer()
    tokenizer._tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    prompt = ChatFormat(tokenizer).prompt_ids("Question: x?")
    assert prompt[0] == 1
    assert 2 not in prompt


def test_a_tokenizer_without_eos_has_no_end_and_no_stop() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = None
    chat = ChatFormat(tokenizer, stop_ids=[9])
    ids, start = chat.example_ids("x", "y")
    assert tokenizer.decode(ids[start:]) == " y\n"
    assert chat.end_id is None
    assert chat.stop_ids == (9,)


def test_a_template_that_looks_at_the_question_is_rendered_for_each() -> None:
    shout = "{% for m in messages %}{{ m['content'] | upper }}!{% endfor %}"
    chat = ChatFormat(byte_tokenizer(chat_template=shout))
    assert chat.tokenizer.decode(chat.prompt_ids("abc", system="")) == "ABC!"


def test_a_template_that_looks_for_marks_in_a_question_is_rendered_for_each() -> None:
    cut = "{% for m in messages %}{{ m['content'].split('</think>')[-1] }}!{% endfor %}"
    chat = ChatFormat(byte_tokenizer(chat_template=cut))
    assert chat.tokenizer.decode(chat.prompt_ids("a</think>b", system="")) == "b!"


def test_a_template_that_cannot_render_is_named() -> None:
    with pytest.raises(InputError, match="chat template cannot render one question"):
        ChatFormat(byte_tokenizer(chat_template="{{ raise_exception('never') }}"))


@pytest.mark.parametrize(
    "template",
    ["hello", "{% for m in messages if m['role'] == 'assistant' %}{{ m['content'] }}{% endfor %}"],
)
def test_a_template_that_leaves_the_question_out_is_refused(template: str) -> None:
    with pytest.raises(InputError, match="leaves the user's question out"):
        ChatFormat(byte_tokenizer(chat_template=template))


@pytest.mark.parametrize("template", [7, {"rag": "{{ messages }}"}])
def test_a_template_that_is_no_text_is_refused(template: object) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    with pytest.raises(InputError, match=r"the chat template (is no text|cannot be chosen)"):
        ChatFormat(tokenizer)


def test_a_template_that_takes_one_exchange_alone_is_named() -> None:
    once = "{% if messages | length > 2 %}{{ raise_exception('once') }}{% endif %}"
    chat = ChatFormat(byte_tokenizer(chat_template=once + "{{ messages[0]['content'] }}"))
    with pytest.raises(InputError, match=r"chat template cannot render 3 messages \(once\)"):
        chat.prompt_ids("x", [Turn("a", "b")], system="")


def test_a_date_in_a_template_is_the_same_every_day() -> None:
    dated = "{{ strftime_now('%d %b %Y') }} {% for m in messages %}{{ m['content'] }}{% endfor %}"
    chat = ChatFormat(byte_tokenizer(chat_template=dated))
    assert chat.tokenizer.decode(chat.prompt_ids("x", system="")) == "26 Jul 2024 x"


def test_answers_are_decoded_to_the_end_of_their_first_line(stories: LanguageModel) -> None:
    ids = stories.chat.text_ids("\n \n Tom went home. \n\nThe end")
    assert stories.chat.decode(ids) == "Tom went home."
    assert stories.chat.decode([]) == ""
    assert stories.chat.decode_turn(ids) == "Tom went home. \n\nThe end"
    assert stories.chat.decode_turn([]) == ""


def test_a_trained_plain_answer_ends_its_line_before_eos() -> None:
    chat = ChatFormat(byte_tokenizer())
    ids, start = chat.example_ids("Question: Who?", "Answer: Ada")
    assert chat.tokenizer.decode(ids[start:-1]) == " Ada\n"
    assert ids[-1] == chat.end_id
    assert chat.decode(ids[start:]) == "Ada"
