"""Many jobs in one call: each as it would be alone, and nothing half done."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

import lorepack
from lorepack import Fact, Job, Passage, files, llm, training, world
from lorepack import facts as room
from lorepack.errors import InputError, MismatchError, NotFoundError
from lorepack.llm import QUESTION, generate
from lorepack.packing import material, stages
from lorepack.packing.audits import mix_of
from lorepack.training import Recipe
from packing.test_pack import tree

STORY = "\n".join(world.neutral_text()[:5])
QUICK = {"epochs": 5, "min_steps": 0, "batch_size": 4, "lr": 2e-3}


@pytest.fixture(scope="module")
def lm():
    return llm.load("world", device="cpu")


@pytest.fixture(scope="module")
def new() -> list[Fact]:
    return list(world.new_facts(12, seed=5))


@pytest.fixture(scope="module")
def jobs(tmp_path_factory, new) -> list[Job]:
    folder = tmp_path_factory.mktemp("data")
    room.write(folder / "first.jsonl", new[:6])
    (folder / "story.txt").write_text(STORY)
    return [
        Job("facts", folder / "first.jsonl", sets={**QUICK, "rank": 4, "dropout": 0.1}, seed=1),
        Job("both", [*new[6:9], Passage("A short story.")], sets=QUICK, evaluate=new[9:]),
        Job("text", folder / "story.txt", sets={**QUICK, "epochs": 1, "max_length": 40}),
        Job("burst", new[:4], sets={**QUICK, "lr": 1e30, "clip": None}),
    ]


@pytest.fixture(scope="module")
def done(tmp_path_factory, lm, jobs):
    out = tmp_path_factory.mktemp("jobs") / "out"
    return out, lorepack.train(jobs, model=lm, out=out)


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "train.jsonl").open()]


def test_a_job_gets_what_it_would_get_alone(done, lm, jobs, tmp_path):
    out, _ = done
    sources = material.gather([jobs[0].data], material.read_source)
    training.train(
        lm,
        stages.examples_of(lm, sources.mix(1)),
        jobs[0].chosen(),
        out=tmp_path / "t",
        adapter=tmp_path / "a",
        seed=1,
    )
    alone = losses(tmp_path / "t")
    assert losses(out / "facts" / "training") == pytest.approx(alone, rel=1e-4)


def test_a_job_that_breaks_is_named_and_the_others_are_finished(done):
    out, result = done
    assert list(result.failed) == ["burst"]
    assert "step" in result.failed["burst"]
    assert str(out) not in (out / "summary.json").read_text()
    for name in ("facts", "both", "text"):
        assert (out / name / "adapter" / "adapter_model.safetensors").is_file()
        assert result[name].figures["loss"] > 0


def test_recall_is_the_share_of_questions_answered_right(done, lm, jobs, new):
    out, result = done
    with stages.adapter_on(lm, out / "both" / "adapter", []) as stack, stack.using(0):
        right = []
        for fact in new[6:9]:
            prompt = lm.chat.prompt_ids(QUESTION.format(q=fact.question))
            ((text,),) = generate(lm, [prompt], max_new_tokens=60)
            right.append(lorepack.text.matches(text, fact.accepted))
    assert result["both"].figures["recall"] == sum(right) / 3
    assert result["both"].figures["evaluated"] is not None
    assert result["facts"].figures["evaluated"] is None
    assert result["text"].figures["recall"] is None
    rows = [json.loads(line) for line in (out / "both" / "recall" / "answers.jsonl").open()]
    assert [row["id"] for row in rows if row["set"] == "own"] == [fact.id for fact in new[6:9]]
    assert [row["right"] for row in rows if row["set"] == "own"] == right


def test_facts_that_are_learned_are_recalled(lm, new, tmp_path):
    job = Job("learned", new[:4], sets={**QUICK, "epochs": 40})
    assert lorepack.train([job], model=lm, out=tmp_path)["learned"].figures["recall"] == 1


def test_the_summary_says_what_the_results_say(done):
    out, result = done
    value = files.read_json(out / "summary.json")
    assert [row["name"] for row in value["rows"]] == ["facts", "both", "text", "burst"]
    assert {"data", "rank", "dropout", "lr"} <= set(value["keys"])
    for row in value["rows"][:3]:
        trained = files.read_json(out / row["name"] / "training" / "result.json")
        for key in ("steps", "loss", "examples", "parameters", "epochs"):
            assert row["figures"][key] == trained[key]
    with open(out / "summary.csv", newline="") as table:
        lines = list(csv.DictReader(table))
    assert [line["name"] for line in lines] == ["facts", "both", "text", "burst"]
    assert float(lines[0]["loss"]) == result["facts"].figures["loss"]
    assert "step" in lines[3]["error"]


def test_a_second_call_trains_nothing_again_and_changes_no_byte(done, lm, jobs):
    out, result = done
    before, written = tree(out), (out / "facts" / "training" / "train.jsonl").stat().st_mtime_ns
    again = lorepack.train(jobs, model=lm, out=out)
    ours = {k: v for k, v in tree(out).items() if "summary.html" not in k and "burst" not in k}
    assert ours == {k: v for k, v in before.items() if k in ours}
    assert (out / "facts" / "training" / "train.jsonl").stat().st_mtime_ns == written
    assert again["both"].figures == result["both"].figures


def test_the_adapter_of_a_job_says_what_it_was_trained_on(done, new):
    out, _ = done
    assert mix_of(out / "facts" / "adapter")["trained"] == [fact.id for fact in new[:6]]


def test_texts_are_cut_to_fit_and_every_token_of_them_counts(done, lm):
    out, _ = done
    whole = STORY
    parts = material.passages_of(lm, whole, 40)
    assert max(map(len, parts)) <= 40
    spelled = "".join(lm.tokenizer.decode(ids, skip_special_tokens=True) for ids in parts)
    assert "".join(spelled.split()) == "".join(whole.split())
    trained = files.read_json(out / "text" / "training" / "result.json")
    assert trained["examples"] == len(parts)
    assert trained["tokens"] == sum(len(ids) - 1 for ids in parts)


def test_a_text_that_fits_stays_whole(lm):
    text = "One sentence. Another sentence."
    assert material.passages_of(lm, text, 512) == [lm.chat.text_ids(text)]


def test_the_folder_of_a_synthesis_gives_its_facts_and_its_texts(tmp_path, new):
    files.write_json(tmp_path / "synthesis.json", {"schema": 1})
    room.write(tmp_path / "facts.jsonl", new[:2])
    row = json.dumps(Passage("A told story.").to_json())
    (tmp_path / "texts.jsonl").write_text(row + "\n")
    found = material.read_source(tmp_path)
    assert [fact.id for fact in found.facts] == [fact.id for fact in new[:2]]
    assert [text.text for text in found.texts] == ["A told story."]
    assert material.read_source(tmp_path / "texts.jsonl").texts == found.texts


def test_a_file_of_another_format_points_to_the_import(tmp_path):
    path = tmp_path / "map.json"
    path.write_text(json.dumps([{"input": "Who?", "output": '["Me"]', "s_pop": 1, "o_pop": 2}]))
    with pytest.raises(InputError, match=r"facts import map\.json --out FACTS.jsonl"):
        material.read_source(path)


def refused(jobs: list[Job], lm, out: Path, error: type[Exception], told: str) -> None:
    """The call ends before anything of a job is written."""
    with pytest.raises(error, match=told) as found:
        lorepack.train(jobs, model=lm, out=out)
    assert "\n" not in str(found.value)
    assert not [path for path in out.rglob("*") if path.is_file() and path.name[0] != "."]


def test_empty_data_of_one_of_forty_jobs_stops_all_before_any_work(lm, new, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    many = [Job(f"j{n}", new[:2], sets=QUICK) for n in range(39)]
    many.insert(20, Job("hollow", tmp_path / "empty.jsonl", sets=QUICK))
    refused(many, lm, tmp_path / "out", InputError, "job hollow: .*no facts")
    refused([Job("none", [])], lm, tmp_path / "out", InputError, "job none: no data")
    refused([], lm, tmp_path / "out", InputError, "no jobs given")


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (
            {"rank": 4096},
            r"job j: rank 4096 is above the width of model\.layers.*: expected 1 to",
        ),
        ({"targets": ["q_prj"]}, "job j: unknown target 'q_prj'; did you mean q_proj"),
        ({"layers": [7, 9]}, "job j: layers 7,9: the model has layers 0 to"),
        ({"rnak": 4}, "job j: recipe: unknown key 'rnak'; did you mean rank"),
        ({"max_length": 8}, r"job j: example of fact \w+ has \d+ tokens, .*overlong=cut"),
        ({"early_stop_reliability": 0.5}, "job j: early_stop_reliability needs facts"),
    ],
)
def test_a_recipe_that_does_not_fit_is_told_before_any_work(lm, new, tmp_path, sets, told):
    texts = "early_stop_reliability" in sets
    data = Passage("A story of nothing.") if texts else new[:2]
    good = Job("good", new[:2], sets=QUICK)
    refused([good, Job("j", data, sets={**QUICK, **sets})], lm, tmp_path / "out", InputError, told)


def test_too_long_examples_are_cut_or_left_out_and_counted(lm, new, tmp_path):
    longest = max(len(lm.chat.example_ids(f"Question: {f.question}", "Answer: x")[0]) for f in new)
    strange = Fact("Who " + "really " * 60 + "came?", "Ann")
    sets = {**QUICK, "epochs": 1, "max_length": longest + 20, "overlong": "drop"}
    result = lorepack.train([Job("j", [*new[:3], strange], sets=sets)], model=lm, out=tmp_path)
    assert (result["j"].figures["dropped"], result["j"].figures["examples"]) == (1, 3)
    assert any("1 training examples were too long" in note for note in result.notes)


def test_the_tokenizer_of_another_model_is_told(lm, new, tmp_path):
    class Foreign:
        def __getattr__(self, name):
            return getattr(lm.chat, name)

        def example_ids(self, *_, **__):
            return [1, 2, 10**6], 1

    foreign = replace(lm, chat=Foreign())
    told = "job j: example of fact .* has token 1000000, but the model knows 0 to"
    refused([Job("j", new[:1])], foreign, tmp_path / "out", InputError, told)


@pytest.mark.parametrize(
    "name", ["", " ", "../x", "a/b", "a\\b", ".", "..", ".hidden", "-rf", "a\nb", "a ", "x" * 300,
             "ä" * 150, "nul\0", "checkpoint", "Checkpoint", "a:b", "end."],
)  # fmt: skip
def test_names_that_are_no_folder_are_refused(name):
    with pytest.raises(InputError, match=r"^job name .{0,80} (is|has|holds|begins)"):
        Job(name, "facts.jsonl")


def test_two_jobs_never_write_to_one_folder(lm, new, tmp_path):
    def both(first: str, second: str, told: str) -> None:
        with pytest.raises(InputError, match=told):
            lorepack.train([Job(first, new), Job(second, new)], model=lm, out=tmp_path)

    both("a", "a", "two jobs are called 'a'")
    both("a", "A", "would share a folder")
    both("\u00e9", "e\u0301", "would share a folder")
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    both("there", "link", "both write to .*there")


def test_a_folder_of_other_results_is_left_alone(done, finished, lm, new, tmp_path):
    out, _ = done
    run, _ = finished
    job = Job("facts", new[:6], sets=QUICK)
    with pytest.raises(MismatchError, match="holds a run of `lorepack pack`"):
        lorepack.train([job], model=lm, out=run)
    with pytest.raises(MismatchError, match="holds another job"):
        lorepack.train([job], model=lm, out=out)
    with pytest.raises(MismatchError, match="holds the jobs of `lorepack train`"):
        lorepack.pack(lm, new, out)
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="files of something else"):
        lorepack.train([job], model=lm, out=tmp_path)
    with pytest.raises(NotFoundError, match=r"job x: .*no such file"):
        lorepack.train([Job("x", "none.jsonl")], model=lm, out=tmp_path / "o")


def test_the_recipe_of_a_job_may_be_one_that_is_at_hand():
    recipe = Recipe.named("paper")
    assert Job("a", "f", recipe, {"rank": 3}).chosen() == recipe.override({"rank": "3"})


def test_an_interrupted_call_goes_on_and_ends_with_the_same_bytes(lm, new, tmp_path):
    sets = {**QUICK, "checkpoint_every": 2, "dropout": 0.1}
    jobs = [Job(f"j{n}", new[n : n + 4], sets=sets, seed=n) for n in range(2)]

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "train" and done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lorepack.train(jobs, model=lm, out=tmp_path / "cut", progress=stop)
    assert list((tmp_path / "cut" / "checkpoint").glob("step-*"))
    steps: list[int] = []
    lorepack.train(
        jobs,
        model=lm,
        out=tmp_path / "cut",
        progress=lambda stage, done, _: steps.append(done) if stage == "train" else None,
    )
    lorepack.train(jobs, model=lm, out=tmp_path / "whole")
    assert steps[0] > 0
    ours, theirs = (
        {k: v for k, v in tree(tmp_path / name).items() if "summary.html" not in k}
        for name in ("cut", "whole")
    )
    assert ours == theirs
