"""What stands beside a job's data: replay, a guard, and the passages that a teacher reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import lorepack
from lorepack import Fact, Job, Passage, files, llm, world
from lorepack import facts as room
from lorepack.errors import InputError
from lorepack.packing import distillation, material, replay
from lorepack.packing.job_file import read_jobs
from packing.test_many import refused

QUICK = {"epochs": 2, "min_steps": 0, "batch_size": 4, "lr": 1e-3}
STORY = "Once a heron stood in the reeds. It waited for the tide."


@pytest.fixture(scope="module")
def lm():
    return llm.load("world", device="cpu")


@pytest.fixture(scope="module")
def new() -> list[Fact]:
    return list(world.new_facts(8, seed=5))


@pytest.fixture(scope="module")
def reading() -> tuple[list[Passage], list[Fact]]:
    """Two passages, and facts that name theirs."""
    told = world.passages(2, seed=5)
    passages = [Passage(one.text, document=f"doc-{n}") for n, one in enumerate(told)]
    facts = [
        Fact(fact.question, fact.answer, source=passage.id)
        for one, passage in zip(told, passages, strict=True)
        for fact in one.facts
    ]
    return passages, facts


def steps(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "training" / "train.jsonl").open()]


def test_jobs_replay_facts_texts_neutral_text_and_what_the_base_says(lm, new, tmp_path):
    room.write(tmp_path / "known.jsonl", new[4:])
    sets = {**QUICK, "replay_ratio": 1}
    jobs = [
        Job("files", new[:4], sets=sets, replay=[tmp_path / "known.jsonl", Passage(STORY)]),
        Job("neutral", new[:4], sets={**sets, "replay_loss": "kl"}, replay="neutral"),
        Job("own", new[:4], sets=sets, replay=["own:3", Passage(STORY)]),
        Job("none", new[:4], sets=QUICK, replay="neutral"),
    ]
    result = lorepack.train(jobs, model=lm, out=tmp_path / "out", recall=False)
    assert not result.failed
    for name in ("files", "neutral", "own"):
        assert all("replay_loss" in step or "kl" in step for step in steps(tmp_path / "out" / name))
    assert "replay_loss" not in steps(tmp_path / "out" / "none")[0]
    assert any(note.startswith("none: replay is given, but") for note in result.notes)
    told = {
        name: files.read_json(tmp_path / "out" / name / "job.json") for name in ("files", "own")
    }
    assert [told["files"]["replay"][kind]["count"] for kind in ("facts", "texts")] == [4, 1]
    assert told["own"]["replay"]["own"]["count"] == 3
    assert "replay" not in files.read_json(tmp_path / "out" / "none" / "job.json")


def test_what_the_base_said_is_kept_and_not_drawn_anew(lm, new, tmp_path, monkeypatch):
    job = Job("j", new[:2], sets={**QUICK, "replay_ratio": 1}, replay="own:3", seed=4)
    lorepack.train([job], model=lm, out=tmp_path, recall=False)
    kept = files.read_json(tmp_path / "j" / "own.json")["examples"]
    assert len({tuple(ids) for ids, _ in kept}) == 3
    assert all(0 < start < len(ids) for ids, start in kept)
    before = (tmp_path / "j" / "training" / "train.jsonl").stat().st_mtime_ns

    def forbidden(*_, **__):
        raise AssertionError("drawn anew")

    monkeypatch.setattr(replay, "own_text", forbidden)
    lorepack.train([job], model=lm, out=tmp_path, recall=False)
    assert (tmp_path / "j" / "training" / "train.jsonl").stat().st_mtime_ns == before


def test_what_the_base_says_follows_from_the_seed_of_the_job_alone(lm, tmp_path):
    one, two, same = (
        replay.replayed(lm, ["own:3"], material.read_source, 64, seed, tmp_path).examples
        for seed in (1, 2, 1)
    )
    assert one == same
    assert one != two


def test_a_guard_measures_harm_after_every_epoch_and_its_budget_ends_the_job(lm, new, tmp_path):
    (tmp_path / "story.txt").write_text(STORY)
    jobs = [
        Job("wide", new[:4], sets={**QUICK, "harm_budget": 100}, guard=tmp_path / "story.txt"),
        Job("tight", new[:4], sets={**QUICK, "harm_budget": 0, "lr": 0.01}, guard=Passage(STORY)),
    ]
    result = lorepack.train(jobs, model=lm, out=tmp_path / "out", recall=False)
    assert not result.failed
    for name, stopped in {"wide": "epochs", "tight": "harm_budget"}.items():
        folder = tmp_path / "out" / name / "training"
        assert all(row["harm"] > 0 for row in files.read_json(folder / "epochs.json")["epochs"])
        assert files.read_json(folder / "result.json")["stopped"] == stopped


def test_neutral_texts_of_replay_guard_and_audit_are_not_the_same(lm):
    read, texts = material.read_source, set(world.neutral_text())
    first = replay.replayed(lm, ["neutral"], read, 256, 0, Path("none"))
    second = replay.guard(lm, ["neutral"], read, 256, set(first.texts) | texts)
    assert not first.texts & texts
    assert (len(first.texts), len(second.examples)) == (300, 100)


@pytest.mark.parametrize("loss", ["distill", "distill-topk"])
def test_a_distillation_trains_questions_and_its_teacher_reads_their_passages(
    lm, reading, tmp_path, loss
):
    passages, facts = reading
    job = Job("j", [*passages, *facts], sets={**QUICK, "loss": loss})
    result = lorepack.train([job], model=lm, out=tmp_path, recall=False)
    assert not result.failed
    assert result["j"].figures["examples"] == len(facts)
    assert any("the teacher reads 2 of 2 texts" in note for note in result.notes)
    losses = [step["loss"] for step in steps(tmp_path / "j")]
    assert all(loss > 0 for loss in losses)


def test_the_teacher_is_asked_in_the_chat_form_with_the_passage_before_the_question(lm, reading):
    passages, facts = reading
    found = material.gather([*passages, *facts], material.read_source)
    made = distillation.examples(lm, found, "distill", [])
    texts = {passage.id: passage.text for passage in passages}
    for fact, example in zip(facts, made, strict=True):
        question, answer = f"Question: {fact.question}", f"Answer: {fact.answer}"
        asked, _ = lm.chat.example_ids(f"{texts[fact.source]}\n{question}", answer)
        assert example.teacher_ids == tuple(asked)
        assert example.ids == tuple(lm.chat.example_ids(question, answer)[0])


def paired(lm, *sources) -> list[str]:
    """What each teacher reads."""
    found = material.gather(sources, material.read_source)
    return [
        lm.tokenizer.decode(example.teacher_ids)
        for example in distillation.examples(lm, found, "distill", [])
    ]


def test_a_fact_finds_its_passage_by_id_by_document_or_as_the_only_one(lm, tmp_path):
    (tmp_path / "mill.txt").write_text("The mill is old.")
    (tmp_path / "port.txt").write_text("The port is new.")
    both = tmp_path / "mill.txt", tmp_path / "port.txt"
    (by_document,) = paired(lm, *both, Fact("Which?", "That", source="port.txt"))
    named = Passage("The tower is tall.", id="p7")
    (by_id,) = paired(lm, *both, named, Fact("Which?", "That", source="p7"))
    (alone,) = paired(lm, both[0], Fact("Which?", "That"))
    shown = [lm.tokenizer.decode(lm.tokenizer.encode(t, add_special_tokens=False))
             for t in ("The port is new.", "The tower is tall.", "The mill is old.")]  # fmt: skip
    for text, teacher in zip(shown, (by_document, by_id, alone), strict=True):
        assert text in teacher


def test_the_folder_of_a_synthesis_pairs_its_questions_and_targets_with_its_passages(
    lm, reading, tmp_path
):
    passages, _ = reading
    forms = ("original", "qa:2", "deep-context:1")
    lorepack.synthesize(passages, tmp_path / "s", lorepack.SynthesisSettings(forms=forms))
    found = material.gather([tmp_path / "s"], material.read_source)
    assert (len(found.texts), len(found.targets)) == (2, 2)
    assert {found.passage_of[fact.id] for fact in found.facts} == {p.id for p in passages}
    made = distillation.examples(lm, found, "distill", [])
    wanted = [found.passage_of[fact.id] for fact in found.facts]
    wanted += [item.passage for item in found.targets]
    for name, example in zip(wanted, made, strict=True):
        text = next(p.text for p in passages if p.id == name)
        ids = tuple(lm.tokenizer.encode(text, add_special_tokens=False))[:-1]
        assert any(
            example.teacher_ids[n : n + len(ids)] == ids for n in range(len(example.teacher_ids))
        )
    job = Job("j", tmp_path / "s", sets={**QUICK, "epochs": 1, "loss": "distill"})
    result = lorepack.train([job], model=lm, out=tmp_path / "out", recall=False)
    assert result["j"].figures["examples"] == len(found.facts) + 2


A, B = Passage("The mill is old."), Passage("The port is new.", document="d")
LOST = Fact("Who came?", "Ann", source="elsewhere")
WRONG = {
    "nothing to replay": ({"sets": {"replay_ratio": 1}}, "replay_ratio is 1.0, but there is"),
    "replay of nothing": ({"sets": {"replay_ratio": 1}, "replay": []}, "replay: no data"),
    "lost replay": ({"sets": {"replay_ratio": 1}, "replay": "x.jsonl"}, "replay: no such file"),
    "no guard": ({"sets": {"harm_budget": 1}}, "harm_budget is 1.0, but there is no text"),
    "facts as guard": ({"guard": LOST}, "guard: got 1 facts; expected running text"),
    "guard that is trained": ({"data": A, "guard": A}, "guard: text .* is trained or replayed"),
    "guard that is replayed": (
        {"sets": {"replay_ratio": 1}, "replay": A, "guard": A},
        "guard: text .* is trained or replayed",
    ),
    "no passage": ({"sets": {"loss": "distill"}}, "loss=distill needs the passage of every fact"),
    "no fact": ({"data": A, "sets": {"loss": "distill-topk"}}, "loss=distill-topk needs questions"),
    "no passage of that name": (
        {"data": [A, B, LOST], "sets": {"loss": "distill"}},
        r"fact \w+ \(Who came\?\) has no passage .* holds 2 .* 'elsewhere', which is none",
    ),
    "several passages of a document": (
        {"data": [B, Passage("More.", document="d"), Fact("A?", "B", source="d")],
         "sets": {"loss": "distill"}},
        "names 'd', of which the data holds 2 passages",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_lacks_is_told_before_any_work(lm, new, tmp_path, case):
    given, told = WRONG[case]
    given = {"data": new[:2], **given, "sets": {**QUICK, **given.get("sets", {})}}
    if case == "lost replay":
        given["replay"] = tmp_path / "x.jsonl"
    jobs = [Job("good", new[:2], sets=QUICK), Job("j", **given)]
    kind = lorepack.LorepackError if case == "lost replay" else InputError
    refused(jobs, lm, tmp_path / "out", kind, f"job j: .*{told}")


def test_targets_alone_are_for_distillation(lm, reading, tmp_path):
    forms = ("deep-context:1",)
    lorepack.synthesize(reading[0], tmp_path / "s", lorepack.SynthesisSettings(forms=forms))
    job = Job("j", tmp_path / "s", sets=QUICK)
    refused([job], lm, tmp_path / "out", InputError, "deep-context targets alone")
    job = Job("j", [tmp_path / "s", A], sets={**QUICK, "loss": "distill"})
    refused([job], lm, tmp_path / "out", InputError, "target .* was written from passage")


@pytest.mark.parametrize("word", ["own:", "own:0", "own:many", "own:-2"])
def test_a_number_of_own_texts_must_be_one(word):
    with pytest.raises(InputError, match=f"job j: replay: got '{word}'"):
        Job("j", "f.jsonl", replay=word)


def test_the_file_of_jobs_names_replay_and_guard(tmp_path):
    path = tmp_path / "jobs.yaml"
    path.write_text(
        "defaults: {data: a.csv, guard: neutral, replay: [own:8, ./neutral, world]}\n"
        "jobs: [{name: one}, {name: two, replay: known.jsonl, guard: [b.txt]},\n"
        "  {name: three, data: neutral, replay: null}]\n"
    )
    one, two, three = read_jobs(path).jobs
    assert (one.guard, one.replay) == (["neutral"], ["own:8", tmp_path / "neutral", "world"])
    assert (two.guard, two.replay) == ([tmp_path / "b.txt"], [tmp_path / "known.jsonl"])
    assert (three.data, three.replay) == ([tmp_path / "neutral"], None)
    path.write_text("grid: {data: [a.csv], replay: [neutral, own:9], replay_ratio: [0.5]}")
    assert [job.name.split(",")[1] for job in read_jobs(path).jobs] == [
        "replay=neutral",
        "replay=own-9",
    ]


@pytest.mark.parametrize("setting", ["replay_loss=answer", "harm_budget=0.1", "loss=distill"])
def test_what_pack_is_not_given_is_asked_of_train(tmp_path, new, setting):
    with pytest.raises(InputError, match=r"needs more than facts.*lorepack train"):
        lorepack.pack("world", new, tmp_path / "run", sets=[setting])
    with pytest.raises(InputError, match=r"cell rank=1: .*needs more than facts"):
        lorepack.pack_grid("world", new, tmp_path / "grid", {"rank": [1]}, sets=[setting])
    assert not list(tmp_path.rglob("*.json"))
