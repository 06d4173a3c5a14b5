"""Edit sets: what is read, what is asked, and every figure against a plain loop over the model."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from lora.made import stack_of
from lorepack import llm, lora
from lorepack.auditing import edits as room
from lorepack.auditing.edits import (
    BASE,
    EditedModel,
    EditSettings,
    audit_edits,
)
from lorepack.auditing.edits_file import Edit, read_edits
from lorepack.auditing.framing import Framing
from lorepack.errors import InputError, MismatchError, NotFoundError
from lorepack.facts.importing.edits import FORMATS
from lorepack.facts.importing.format import Options
from lorepack.lora import AdapterSpec, Stack
from probing.scripted import Killed, files_of

FLAT = {
    "prompt": "BBC One, by", "target_new": "Sega", "subject": "BBC One", "ground_truth": "BBC",
    "rephrase_prompt": "BBC One is owned by", "locality_prompt": "BBC Radio, by",
    "locality_ground_truth": "BBC",
}  # fmt: skip
ZSRE = {
    "src": "When was WEFS established?", "subject": "WEFS", "alt": "1997", "answers": ["1987"],
    "rephrase": "When has WEFS been established?", "loc": "nq question: who", "loc_ans": "Someone",
    "pred": "1998", "cond": "",
}  # fmt: skip
NESTED = {
    "requested_rewrite": {
        "prompt": "The mother tongue of {} is", "subject": "Danielle",
        "target_new": {"str": "English"}, "target_true": {"str": "French"},
    },
    "paraphrase_prompts": ["Danielle speaks", "She said:"],
    "neighborhood_prompts": ["Leon speaks", "Michel speaks"],
}  # fmt: skip


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def test_three_layouts_are_read(tmp_path: Path) -> None:
    flat, zsre, nested = read_edits(write(tmp_path / "x.json", [FLAT, ZSRE, NESTED]), [])
    assert (flat.prompt, flat.new, flat.old) == ("BBC One, by", "Sega", "BBC")
    assert flat.rephrased == ("BBC One is owned by",)
    assert flat.near == (("BBC Radio, by", "BBC"),)
    assert flat.hops == ()
    assert (zsre.new, zsre.old, zsre.near) == ("1997", "1987", (("nq question: who", "Someone"),))
    assert nested.prompt == "The mother tongue of Danielle is"
    assert nested.rephrased == ("Danielle speaks", "She said:")
    assert nested.near == (("Leon speaks", "French"), ("Michel speaks", "French"))


@pytest.mark.parametrize(
    "more",
    [
        {"portability_prompt": "Who owns it?", "portability_ground_truth": "Japan"},
        {"portability": {"New Question": "Who owns it?", "New Answer": "Japan"}},
    ],
)
def test_one_hop_questions_are_read_where_there_are_any(tmp_path: Path, more: dict) -> None:
    (edit,) = read_edits(write(tmp_path / "x.json", [{**FLAT, **more}]), [])
    assert edit.hops == (("Who owns it?", "Japan"),)


def test_an_edit_has_the_id_of_the_fact_that_is_imported(tmp_path: Path) -> None:
    for name, raw in (("counterfact", FLAT), ("zsre", ZSRE), ("counterfact", NESTED)):
        (edit,) = read_edits(write(tmp_path / "x.json", [raw]), [])
        fact = next(iter(FORMATS[name].items(raw, Options(split="edit"))))
        assert fact.id == edit.id  # type: ignore[union-attr]


def test_what_is_no_edit_is_set_aside_and_counted(tmp_path: Path) -> None:
    notes: list[str] = []
    rows = [FLAT, {**FLAT, "target_new": " "}, {**ZSRE, "answers": []}, FLAT, 7]
    assert len(read_edits(write(tmp_path / "x.json", rows), notes)) == 1
    assert len(notes) == 1
    for reason in ("no_new_answer 1", "no_old_answer 1", "repeated 1", "4 rows"):
        assert reason in notes[0]
    with pytest.raises(InputError, match="no edits in it"):
        read_edits(write(tmp_path / "y.json", [{"question": "a", "answer": "b"}]), [])
    with pytest.raises(NotFoundError):
        read_edits(tmp_path / "nowhere.json", [])
    assert len(read_edits(write(tmp_path / "z.json", [FLAT, ZSRE]), [], limit=1)) == 1


EDITS = [
    Edit("e0", "Where is Aldo?", "in Rome", "Paris", ("Aldo lives in",), (("Bo is in", "Oslo"),)),
    Edit("e1", "Who made it?", "Ida", "Max", (), (("Who sang it?", "Max Moe"), ("And?", "Ida"))),
    Edit("e2", "What is it?", "a ship", "a ship", ("It is",), (), (("Of what?", "wood"),)),
]


@pytest.fixture(scope="module")
def lm() -> llm.LanguageModel:
    return llm.load("world", device="cpu")


@pytest.fixture(scope="module")
def stack(lm: llm.LanguageModel) -> Stack:
    targets = tuple(lora.resolve(lm.model, ("mlp",)))
    return stack_of(lm.model, [AdapterSpec(2, 4.0, False, targets)] * 2)


def adapted(stack: Stack, index: int, **more: Any) -> EditedModel:
    @contextmanager
    def on() -> Iterator[None]:
        with stack.attached(), stack.using(index):
            yield

    return EditedModel(on, f"tag{index}", **more)


@torch.no_grad()
def by_hand(lm: llm.LanguageModel, prompt: str, target: str, other: str | None, form: str) -> dict:
    """One prompt the slow way: a forward pass a token, no engine."""
    framing = Framing(lm, form)
    context, wanted = framing.context(prompt), framing.target(target)

    def logs(ids: list[int]) -> torch.Tensor:
        return torch.log_softmax(lm.model(torch.tensor([ids])).logits[0].double(), -1)

    def total(ends: list[int]) -> float:
        found = logs(context + ends)
        return sum(float(found[len(context) - 1 + i, t]) for i, t in enumerate(ends))

    argmaxes = logs(context + wanted)[len(context) - 1 : -1].argmax(-1).tolist()
    return {
        "first_token": argmaxes[0] == wanted[0],
        "full_token": argmaxes == wanted,
        "log_p_target": total(wanted),
        "log_p_other": None if other is None else total(framing.target(other)),
        "first": argmaxes[0],
    }


@pytest.mark.parametrize("form", ["chat", "text"])
def test_every_row_is_what_a_plain_loop_finds(lm, stack: Stack, tmp_path: Path, form: str) -> None:
    models = {"a": adapted(stack, 0), "b": adapted(stack, 1)}
    found = audit_edits(lm, EDITS, models, tmp_path, EditSettings(form=form, max_new_tokens=4))
    rows = pq.read_table(tmp_path / "edits.parquet").to_pylist()
    assert len(rows) == 3 * 9
    assert found["prompts"] == {
        "efficacy": 3, "paraphrase": 2, "neighbourhood": 3, "portability": 1,
    }  # fmt: skip
    for row in rows:
        which = {"base": None, "a": 0, "b": 1}[row["model"]]
        with stack.attached(), stack.using(which):
            want = by_hand(lm, row["prompt"], row["target"], row["other"], form)
        for name in ("first_token", "full_token", "first"):
            assert row[name] == want[name], (row, want)
        assert row["log_p_target"] == pytest.approx(want["log_p_target"], abs=1e-4)
        if want["log_p_other"] is None:
            assert row["log_p_other"] is None
        else:
            assert row["log_p_other"] == pytest.approx(want["log_p_other"], abs=1e-4)
    assert len({row["answer"] for row in rows}) > 9, "each adapter answers in its own way"


STORIES = Path(__file__).parents[3] / "shared/data/models/stories260K"


@pytest.mark.parametrize("model", ["world", "world-base", str(STORIES)])
@pytest.mark.parametrize("target", ["Ida Voss", "1997", "x", "«Sega»", "the end."])
def test_what_is_asked_is_what_is_trained(model: str, target: str) -> None:
    """In chat form, prompt and target are the tokens of a training example, and then it ends."""
    if model == str(STORIES) and not STORIES.is_dir():
        pytest.skip("needs shared/data beside the checkout: stories260K")
    lm = llm.load(model, device="cpu")
    ids, start = lm.chat.example_ids("Question: Who made it?", f"Answer: {target}")
    framing = Framing(lm, "chat")
    context, wanted = framing.context("Who made it?"), framing.target(target)
    assert ids[: len(context) + len(wanted)] == context + wanted
    assert len(context) >= start
    assert lm.tokenizer.decode(wanted).strip() == target
    assert target not in lm.tokenizer.decode(ids[len(context) + len(wanted) :])


def test_an_adapter_without_weight_changes_nothing(lm, tmp_path: Path) -> None:
    targets = tuple(lora.resolve(lm.model, ("mlp",)))
    zero = Stack(lm.model, [AdapterSpec(2, 4.0, False, targets)], [0])
    trained = frozenset({"e1", "elsewhere"})
    found = audit_edits(lm, EDITS, {"zero": adapted(zero, 0, trained=trained)}, tmp_path)
    own = found["adapters"]["zero"]
    assert own["neighbourhood"]["unchanged"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    for kind in room.KINDS:
        assert own[kind] == found["base"][kind]
    assert own["trained"]["edits"] == 1
    assert own["trained"]["adapter"] == own["trained"]["base"]
    assert own["trained"]["base"]["neighbourhood"]["count"] == 2


def row(model: str, edit: str, kind: str, place: int, **more: Any) -> dict[str, Any]:
    plain = {"full_token": False, "first_token": True, "answered": False, "answer": "x", "first": 3,
             "log_p_target": math.log(0.5), "log_p_other": math.log(0.25)}  # fmt: skip
    return {"model": model, "id": edit, "kind": kind, "place": place, **plain, **more}


def test_figures_by_hand() -> None:
    lost = {"log_p_target": math.log(0.1)}
    base = [
        row(BASE, "e0", "efficacy", 0), row(BASE, "e0", "paraphrase", 0),
        row(BASE, "e0", "neighbourhood", 0), row(BASE, "e0", "neighbourhood", 1),
        row(BASE, "e1", "efficacy", 0), row(BASE, "e1", "paraphrase", 0),
        row(BASE, "e1", "neighbourhood", 0), row(BASE, "e1", "portability", 0, log_p_other=None),
    ]  # fmt: skip
    mine = [dict(one) for one in base]
    mine[1] |= lost  # the paraphrase of e0
    mine[2] |= {"answer": "y", "first": 4, **lost}
    mine[3] |= {"answer": "y"}
    found = room.figures(mine, base, {"e0", "e1"}, EditSettings())
    assert found["efficacy"]["probability"]["mean"] == 1.0
    assert found["efficacy"]["magnitude"]["mean"] == pytest.approx(0.25)
    assert found["efficacy"]["first_token"]["mean"] == 1.0
    assert found["paraphrase"]["probability"]["mean"] == 0.5
    near = found["neighbourhood"]
    assert near["count"] == 3
    assert near["probability"]["mean"] == 0.75, "a mean over edits, not over prompts"
    assert near["unchanged"]["mean"] == 0.5
    assert near["first_unchanged"]["mean"] == 0.75
    assert found["score"] == pytest.approx(3 / (1 / 1.0 + 1 / 0.5 + 1 / 0.75))
    assert found["portability"]["count"] == 1
    assert "probability" not in found["portability"], "it has no second answer"
    alone = room.figures(mine, base, {"e0"}, EditSettings())
    assert alone["portability"] == {"count": 0}
    assert alone["neighbourhood"]["probability"]["mean"] == 0.5
    assert room.figures(mine, base, set(), EditSettings())["score"] is None


def test_a_killed_pass_goes_on_and_ends_with_the_same_bytes(
    lm, stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = EditSettings(chunk=2, max_new_tokens=2)
    models = {"a": adapted(stack, 0)}
    audit_edits(lm, EDITS, models, tmp_path / "whole", how)
    right, calls = room._ask, []

    def ask(*given: Any) -> Any:
        calls.append(given[2])
        if len(calls) == 3:
            raise Killed
        return right(*given)

    with monkeypatch.context() as patch:
        patch.setattr(room, "_ask", ask)
        with pytest.raises(Killed):
            audit_edits(lm, EDITS, models, tmp_path / "cut", how)
    assert not (tmp_path / "cut" / "edits.json").exists()
    again: list[str] = []
    monkeypatch.setattr(room, "_ask", lambda *given: again.append(given[2]) or right(*given))
    audit_edits(lm, EDITS, models, tmp_path / "cut", how)
    assert [name for name in again if isinstance(name, str)][:2] == ["a", "a"]
    assert BASE not in again, "both chunks of the base were kept"
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")
    again.clear()
    audit_edits(lm, EDITS, models, tmp_path / "cut", how)
    assert again == []
    with pytest.raises(MismatchError, match="other edits"):
        audit_edits(lm, EDITS[:1], models, tmp_path / "cut", how)


def test_a_prompt_beyond_the_context_is_counted_and_not_asked(lm, tmp_path: Path) -> None:
    long = Edit("e9", "word " * 2 * lm.context, "a", "b", ("Short",))
    found = audit_edits(lm, [*EDITS, long], {}, tmp_path, EditSettings(max_new_tokens=2))
    assert found["overlong"] == 1
    assert found["prompts"]["efficacy"] == 3
    assert found["prompts"]["paraphrase"] == 3
    assert any("did not fit the context" in note for note in found["notes"])


def test_a_file_without_one_hop_questions_says_so(lm, tmp_path: Path) -> None:
    found = audit_edits(lm, EDITS[:2], {}, tmp_path, EditSettings(max_new_tokens=2))
    assert found["base"]["portability"] == {"count": 0}
    assert any("no one-hop questions" in note for note in found["notes"])


def test_nothing_to_ask_and_an_unknown_form_are_refused(lm, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no edits"):
        audit_edits(lm, [], {}, tmp_path)
    with pytest.raises(InputError, match="an adapter is called 'base'"):
        audit_edits(lm, EDITS, {BASE: EditedModel(nullcontext, "x")}, tmp_path)
    with pytest.raises(InputError, match="form"):
        EditSettings(form="verse")
