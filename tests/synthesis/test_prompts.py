"""Prompts: every placeholder is filled, files of a folder take the place of the shipped ones."""

from __future__ import annotations

import pytest
import yaml

from lorepack.errors import InputError, NotFoundError
from lorepack.facts import Fact
from lorepack.facts.passage import Passage
from lorepack.synthesis.forms import FORMS, Ask
from lorepack.synthesis.prompts import SHIPPED, Prompts
from lorepack.synthesis.replies import SHAPES
from lorepack.synthesis.writers.writer import Task

from .stand import Stand, told

PASSAGE = Passage(
    "Ida Voss {{ n }} built {% bridges %} & <b> with Bo Lund.", title="Bridges", document="d"
)
HOW = {"temperature": 0.5, "seed": 7, "max_tokens": 99}


def asks() -> list[Ask]:
    """One of every kind that the forms ask, from first and from later rounds."""
    seen: dict[tuple[str, str], Ask] = {}
    for form in FORMS.values():
        for ask in told(form, Stand([PASSAGE], n=12, rounds=1, admits=lambda item: False)).asks:
            seen[ask.prompt, str(ask.values.get("level") or ask.values.get("kind"))] = ask
    return list(seen.values())


def write(folder, name="qa", **changes):
    given = yaml.safe_load((SHIPPED / f"{name}.yaml").read_text(encoding="utf-8"))
    given.update(changes)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")


def test_every_prompt_that_a_form_asks_is_worded_whole():
    prompts = Prompts()
    for ask in asks():
        request = prompts.request(ask, (), **HOW)
        for words in (request.system, request.user):
            assert words == words.strip() != ""
            assert "{{ n }}" not in words.replace(PASSAGE.text, "")
            assert "{%" not in words.replace(PASSAGE.text, "")
            assert "None" not in words
            assert "[]" not in words
        assert PASSAGE.text in request.user, "a passage is never a template"
        assert (request.temperature, request.seed, request.max_tokens) == (0.5, 7, 99)
        assert request.task.values == ask.values
        assert (request.schema is None) == (prompts.shape(ask.prompt) is None)
    used = {ask.prompt for ask in asks()} | {"paraphrase", "retry"}
    assert used == set(prompts.names), "no prompt is shipped that nobody asks"


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_says_version_shape_and_what_writers_must_keep_to(path):
    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert given.keys() == {"version", "shape", "system", "user"}
    assert isinstance(given["version"], int)
    assert given["shape"] in SHAPES
    if SHAPES[given["shape"]] is not None:
        assert "one JSON object and nothing else" in given["system"]
        assert '{"items": [' in given["system"]
    if path.stem not in ("retry", "paraphrase", "entities", "self_study_question"):
        assert "Use only what the passage says." in given["system"]
    if path.stem in ("qa", "qa_more", "exam"):
        assert 'never write "the passage"' in given["system"]
    assert not any(line != line.rstrip() for line in path.read_text(encoding="utf-8").split("\n"))


def test_sentences_and_earlier_items_are_told_each_on_a_line():
    values = {"sentences": ["It fell\n in 1822.", "Nobody came."], "earlier": ["Who fell?"]}
    user = Prompts().request(Ask("qa_more", PASSAGE, 2, values), (), **HOW).user
    assert "- It fell in 1822.\n- Nobody came.\n" in user
    assert "- Who fell?\n" in user


def test_a_question_is_reworded_without_a_passage():
    fact = Fact("Who came?", "Ida", paraphrases=("Which person came?",))
    request = Prompts().of_task(Task("paraphrase", 3, None, (fact,)), **HOW)
    assert "Who came?" in request.user
    assert "- Which person came?" in request.user


def test_asking_again_tells_what_was_wrong_and_differs_from_the_first_time():
    prompts = Prompts()
    first = prompts.request(asks()[0], (), **HOW)
    again = prompts.again(first, "there is no JSON in it")
    assert again.user.startswith(first.user)
    assert "there is no JSON in it" in again.user
    assert (again.system, again.task, again.schema) == (first.system, first.task, first.schema)
    assert again.seed != first.seed
    assert again.key("w") != first.key("w")


def test_what_a_form_adds_decides_the_address_of_a_reply_also_where_no_words_show_it():
    prompts = Prompts()
    one, other = (
        prompts.request(Ask("rewrite", PASSAGE, 1, {"manner": "so", "number": i}), (), **HOW)
        for i in (0, 1)
    )
    assert one.user == other.user
    assert one.key("w") != other.key("w")


def test_a_file_of_the_same_name_takes_the_place_of_the_shipped_one(tmp_path):
    write(tmp_path, version=7, user="Ask {{ n }} on {{ text }}")
    prompts, shipped = Prompts(tmp_path), Prompts()
    ask = Ask("qa", PASSAGE, 3, {"sentences": ()})
    assert prompts.request(ask, (), **HOW).user == f"Ask 3 on {PASSAGE.text}"
    assert prompts.versions["qa"] == 7
    changed = {name for name in prompts.names if prompts.hashes[name] != shipped.hashes[name]}
    assert changed == {"qa"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"user": "{{ txet }}"}, "user: no value for 'txet'; did you mean text?"),
        ({"user": "{{ n.x.y }}"}, "user: "),
        ({"user": "{{ n / 0 }}"}, "user: "),
        ({"user": "{{ ''.__class__ }}"}, "user: "),
    ],
)
def test_a_template_that_cannot_be_filled_is_told_with_its_file(tmp_path, changes, said):
    write(tmp_path, **changes)
    with pytest.raises(InputError) as error:
        Prompts(tmp_path).request(Ask("qa", PASSAGE, 1, {"sentences": ()}), (), **HOW)
    assert str(error.value).startswith(f"{tmp_path / 'qa.yaml'}: {said}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"user": "{% if %}"}, "user: line 1: "),
        ({"user": 3}, "user: got 3, expected text"),
        ({"version": "one"}, "version: got 'one', expected a whole number"),
        ({"shape": "questoins"}, "no shape 'questoins'; did you mean questions?"),
        ({"shape": "texts"}, "shape: got 'texts', expected 'questions' as shipped"),
        ({"usr": "x"}, "no key 'usr' in a prompt; did you mean user?"),
    ],
)
def test_a_file_that_is_no_prompt_is_told_before_anything_is_asked(tmp_path, changes, said):
    write(tmp_path, **changes)
    with pytest.raises(InputError) as error:
        Prompts(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'qa.yaml'}: {said}")
    assert "\n" not in str(error.value)


def test_other_bad_folders_are_told_in_one_line(tmp_path):
    with pytest.raises(NotFoundError, match="no such folder of prompts"):
        Prompts(tmp_path / "none")
    with pytest.raises(InputError, match=r"no prompts; expected files such as qa\.yaml"):
        Prompts(tmp_path)
    (tmp_path / "sumary.yaml").write_text("version: 1")
    with pytest.raises(InputError, match=r"no prompt is called 'sumary'; did you mean summary\?"):
        Prompts(tmp_path)
    (tmp_path / "sumary.yaml").rename(tmp_path / "summary.yaml")
    with pytest.raises(InputError, match="no 'shape'; expected the keys"):
        Prompts(tmp_path)
    (tmp_path / "summary.yaml").write_text("a: [")
    with pytest.raises(InputError, match="not valid YAML") as error:
        Prompts(tmp_path)
    assert "\n" not in str(error.value)


def test_a_prompt_by_another_name_is_told():
    with pytest.raises(InputError, match=r"no prompt 'qaa'; did you mean qa\?"):
        Prompts().shape("qaa")
