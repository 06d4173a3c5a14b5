"""Several adapters audited together, or finished runs compared from their files."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

import lorepack
from lora.made import stack_of
from lorepack import facts as facts_room
from lorepack import files, llm, lora, world
from lorepack.cli.compare import WIDTH, grid
from lorepack.cli.main import cli
from lorepack.errors import InputError, MismatchError, NotFoundError, NumericError
from lorepack.lora import AdapterSpec
from lorepack.packing import comparison
from lorepack.packing.adapters import adapters_on, sources
from lorepack.packing.audits import audit_adapter
from lorepack.packing.comparison import compare
from probing.scripted import Killed, files_of

HOW: dict[str, Any] = {"samples": 0, "sets": ["prompts=2"], "neutral": ["A quiet morning."]}
FACTS = world.facts()[:10]


@pytest.fixture(scope="module")
def lm() -> llm.LanguageModel:
    return llm.load("world", device="cpu")


@pytest.fixture(scope="module")
def adapters(lm, tmp_path_factory) -> list[Path]:
    """Two seeds of one recipe and one of another rank and targets, with weights of chance."""
    specs = [
        AdapterSpec(rank, 2.0 * rank, False, tuple(lora.resolve(lm.model, (role,))))
        for rank, role in ((1, "mlp"), (1, "mlp"), (4, "attention"))
    ]
    stack, folder = stack_of(lm.model, specs), tmp_path_factory.mktemp("adapters")
    for index, spec in enumerate(specs):
        ids = [fact.id for fact in FACTS]
        mix = {"trained": ids[:4], "known": ids[4:5], "settings": {"known": 0, "seed": index}}
        provenance = {
            "base": {"name": "world", "fingerprint": lm.fingerprint},
            "recipe": {"rank": spec.rank}, "seed": index, "mix": mix,
        }  # fmt: skip
        lora.save(folder / f"a{index}", spec, stack.factors(index), base_name="world",
                  provenance=provenance)  # fmt: skip
    return [folder / f"a{index}" for index in range(3)]


@pytest.fixture(scope="module")
def together(lm, adapters, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared") / "out"
    return compare(adapters, out, model=lm, facts=FACTS, **HOW)


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("a question was asked")

    monkeypatch.setattr(llm, "generate", fail)


def run_of(folder: Path, called: str, audit: Path, adapter: Path, **model: str) -> Path:
    """A folder as `lorepack pack` leaves it, as far as a comparison reads it."""
    run = folder / called
    shutil.copytree(audit, run / "audit")
    shutil.copytree(adapter, run / "adapter")
    fingerprint = files.read_json(audit / "probe.json")["inputs"]["model"]
    base = {"name": "world", "fingerprint": fingerprint, "dtype": "float32", **model}
    neutral = {"count": 1, "sha256": files.hash_of(HOW["neutral"])}
    described = {"schema": 1, "model": base, "neutral": neutral}
    files.write_json(run / "run.json", described)
    return run


def test_each_audit_is_that_of_the_adapter_alone(lm, adapters, together, tmp_path: Path) -> None:
    out = together.page.parent
    for adapter in adapters:
        audit_adapter(lm, adapter, FACTS, tmp_path / adapter.name, **HOW)
        assert files_of(out / adapter.name) == files_of(tmp_path / adapter.name / "audit")
    assert files_of(out / "before") == files_of(tmp_path / "a0" / "before")


def test_the_documents_hold_every_adapter(together) -> None:
    out = together.page.parent
    assert [row["name"] for row in together.rows] == ["a0", "a1", "a2"]
    assert together["a2"]["trained"] == 4
    assert together["a2"]["rehearsed"] == 1
    found = files.read_json(out / "compare.json")
    assert found == together.document
    assert found["model"]["name"] == "world"
    assert len(found["pairs"]) == 6
    assert {pair["facts"] for pair in found["pairs"]} == {4, 5}
    assert [(group["rows"], group["seeds"]) for group in found["groups"]] == [
        (["a0", "a1"], [0, 1])
    ]
    with open(out / "compare.csv", encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["name"] for row in rows] == ["a0", "a1", "a2"]
    assert float(rows[1]["reliability"]) == together["a1"]["reliability"]
    assert "3 adapters" in together.page.read_text(encoding="utf-8")


def test_a_second_call_asks_nothing_and_writes_the_same(
    lm, adapters, together, monkeypatch: pytest.MonkeyPatch
) -> None:
    was = files_of(together.page.parent)
    forbid(monkeypatch)
    compare(adapters, together.page.parent, model=lm, facts=FACTS, **HOW)
    assert files_of(together.page.parent) == was


@pytest.mark.parametrize("at", [2, 4])
def test_a_killed_comparison_goes_on_and_ends_with_the_same_bytes(
    lm, adapters, together, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    right, calls = llm.generate, []

    def generate(*given: Any, **options: Any) -> Any:
        calls.append(options.get("adapters"))
        if len(calls) == at:
            raise Killed
        return right(*given, **options)

    monkeypatch.setattr(llm, "generate", generate)
    how = {**HOW, "sets": ["prompts=2", "chunk=5"]}  # 2 chunks of the base, 2 of all adapters
    with pytest.raises(Killed):
        compare(adapters, tmp_path / "cut", model=lm, facts=FACTS, **how)
    compare(adapters, tmp_path / "cut", model=lm, facts=FACTS, **how)
    assert len(calls) == 4 + 1, "the chunk that was cut short is asked again, and no other"
    assert files_of(tmp_path / "cut") == files_of(together.page.parent)


SPOILT: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "nan": lambda x: torch.full_like(x, float("nan")),
    "huge": lambda x: x * 1e30,
    "zero": torch.zeros_like,
}


def broken(adapter: Path, folder: Path, change: str) -> Path:
    copy = shutil.copytree(adapter, folder / f"bad-{change}")
    if change in SPOILT:
        tensors = load_file(copy / "adapter_model.safetensors")
        tensors = {name: SPOILT[change](tensor) for name, tensor in tensors.items()}
        save_file(tensors, copy / "adapter_model.safetensors", metadata={"format": "pt"})
    else:
        origin = files.read_json(copy / "lorepack.json")
        files.write_json(
            copy / "lorepack.json", origin | {"base": {"name": "x", "fingerprint": "e"}}
        )
    return copy


@pytest.mark.parametrize(
    ("change", "error"), [("nan", NumericError), ("huge", NumericError), ("base", MismatchError)]
)
def test_one_bad_adapter_is_named_before_anything_is_asked(
    lm, adapters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, error: type
) -> None:
    forbid(monkeypatch)
    bad = broken(adapters[1], tmp_path, change)
    with pytest.raises(error, match=f"bad-{change}"):
        compare([adapters[0], bad], tmp_path / "out", model=lm, facts=FACTS, **HOW)
    assert not (tmp_path / "out" / "before").exists()


def test_an_adapter_without_weight_is_noted(lm, adapters, tmp_path: Path) -> None:
    bad, notes = broken(adapters[1], tmp_path, "zero"), list[str]()
    with adapters_on(lm, sources([adapters[0], bad]), notes):
        assert notes == ["bad-zero: the adapter is all zero and changes nothing"]


def test_runs_of_different_bases_are_compared_from_their_files(
    adapters, together, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch)
    monkeypatch.setattr(llm, "load", lambda *_: pytest.fail("a model was loaded"))
    out = together.page.parent
    runs = [
        run_of(tmp_path, "one", out / "a0", adapters[0]),
        run_of(
            tmp_path, "two", out / "a2", adapters[2], name="/models/other", fingerprint="e" * 64
        ),
    ]
    found = compare(runs, tmp_path / "out")
    assert found.document["model"] is None
    assert [row["base"] for row in found.rows] == ["world", "other"]
    assert found["one"]["reliability"] == together["a0"]["reliability"]
    trained = next(pair for pair in found.document["pairs"] if pair["set"] == "trained")
    same = next(p for p in together.document["pairs"] if (p["a"], p["b"]) == ("a0", "a2"))
    assert trained["p"] == same["p"]
    assert lorepack.audit(run=runs, out=tmp_path / "again").document == found.document


def test_an_audited_run_is_not_asked_again(
    lm, adapters, together, tmp_path: Path, monkeypatch
) -> None:
    run = run_of(tmp_path, "one", together.page.parent / "a0", adapters[0])
    right, asked = llm.generate, []

    def generate(lm: Any, prompts: Any, **options: Any) -> Any:
        asked.append(set(options.get("adapters") or ["base"]))
        return right(lm, prompts, **options)

    monkeypatch.setattr(llm, "generate", generate)
    found = compare([run, adapters[1]], tmp_path / "out", model=lm, facts=FACTS, **HOW)
    assert asked == [{"base"}, {0}], "only the second adapter, alone in the stack"
    assert not (tmp_path / "out" / "one").exists()
    assert found["one"]["reliability"] == together["a0"]["reliability"]
    assert found["a1"] == together["a1"]


def test_a_run_without_an_audit_says_how_to_get_one(adapters, together, tmp_path: Path) -> None:
    run = run_of(tmp_path, "one", together.page.parent / "a0", adapters[0])
    shutil.rmtree(run / "audit")
    with pytest.raises(NotFoundError, match="lorepack audit --run"):
        compare([run], tmp_path / "out")
    with pytest.raises(NotFoundError, match="--model and --facts"):
        compare([adapters[0]], tmp_path / "out2")


def test_names_are_folders_made_unique(adapters, tmp_path: Path) -> None:
    places = ["x/same", "y/same", "run1/adapter", "z/before"]
    for place in places:
        shutil.copytree(adapters[0], tmp_path / place)
    found = sources([tmp_path / place for place in places], reserved=("before",))
    assert [source.name for source in found] == ["x-same", "y-same", "run1", "before-2"]
    with pytest.raises(InputError, match="given twice"):
        sources([tmp_path / "x/same", tmp_path / "y/../x/same"])
    with pytest.raises(NotFoundError, match="no such adapter or run"):
        sources([tmp_path / "nowhere"])
    with pytest.raises(NotFoundError, match="neither an adapter"):
        sources([tmp_path])


def test_a_folder_of_jobs_stands_for_its_adapters(adapters, tmp_path: Path) -> None:
    files.write_json(tmp_path / "jobs.json", {"schema": 1})
    for name, adapter in zip("ba", adapters, strict=False):
        shutil.copytree(adapter, tmp_path / name / "adapter")
        files.write_json(tmp_path / name / "job.json", {"schema": 1})
    assert [source.name for source in sources([tmp_path])] == ["a", "b"]


def test_a_folder_of_something_else_stays_untouched(lm, adapters, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="something else"):
        compare(adapters, tmp_path, model=lm, facts=FACTS, **HOW)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_printed_table_fits_eighty_columns(
    lm, adapters, together, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llm, "load", lambda *_, **__: lm)
    monkeypatch.setattr(world, "neutral_text", lambda: HOW["neutral"])
    facts_room.write(tmp_path / "f.jsonl", FACTS)
    out = shutil.copytree(together.page.parent, tmp_path / "out")
    named = [str(adapter) for adapter in adapters]
    where = ["--model", "world", "--facts", str(tmp_path / "f.jsonl"), "--out", str(out)]
    done = CliRunner().invoke(
        cli, ["audit", *named, *where, "--samples", "0", "--set", "prompts=2"]
    )
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    lines = [line for line in done.stdout.splitlines() if not line.startswith(("page:", "note:"))]
    assert any(line.startswith("a2 ") for line in lines)
    assert max(map(len, lines)) <= WIDTH


@pytest.mark.parametrize("several", [1, 3])
def test_long_names_shrink(capsys: pytest.CaptureFixture[str], several: int) -> None:
    long = "a-very-long-name-of-an-adapter-with-every-setting-in-it-rank=8-known=10"
    rows = [[long] * several + ["100.0%"] * 5, ["short"] * several + ["–"] * 5]
    grid(["name"] * several + ["figure"] * 5, rows, left=several)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert "…" in lines[2]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a b --out o --model world", "--model with --facts"),
        ("a b", "need --out"),
        ("a --adapter b --model m --facts f --out o", "not both"),
        ("--run r a", "stands alone"),
        ("a --edits e --out o", "--edits needs"),
        ("a --edits e --out o --model m --facts f", "takes no facts"),
        ("a --out o --only-trained", "go with --edits"),
        ("a b --out o --samples 3", "give no settings"),
        ("", "or several adapters or runs"),
    ],
)
def test_options_that_do_not_go_together_are_told(line: str, said: str) -> None:
    done = CliRunner().invoke(cli, ["audit", *line.split()])
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_edits_are_asked_of_several_adapters(lm, adapters, tmp_path: Path, monkeypatch) -> None:
    from lorepack.packing import edit_audits

    told = FACTS[0]
    rows = [
        {"prompt": told.question, "target_new": told.answer, "ground_truth": "Nowhere",
         "rephrase_prompt": "Say it", "locality_prompt": "And?", "locality_ground_truth": "No"},
        {"prompt": "Who?", "target_new": "Ida", "ground_truth": "Max"},
    ]  # fmt: skip
    files.write_json(tmp_path / "edits.json", rows)
    given = {"model": lm, "file": tmp_path / "edits.json"}
    found = edit_audits.edits(adapters[:2], out=tmp_path / "all", **given)
    assert set(found["adapters"]) == {"a0", "a1"}
    assert found["edits"] == 2
    assert found["adapters"]["a0"]["trained"]["edits"] == 1, "joined by the fact's id"
    only = edit_audits.edits(adapters[:2], out=tmp_path / "only", only_trained=True, **given)
    assert only["edits"] == 1
    files.write_json(tmp_path / "edits.json", rows[1:])
    with pytest.raises(InputError, match="none of its edits was trained"):
        edit_audits.edits(adapters, out=tmp_path / "none", only_trained=True, **given)
    assert comparison.RESERVED == ("before", "edits")


def test_edits_asked_of_an_adapter_in_a_folder_base_stand_beside_the_base(
    lm, adapters, tmp_path: Path
) -> None:
    from lorepack.packing import edit_audits

    called = Path(shutil.copytree(adapters[2], tmp_path / "base"))
    row = {"prompt": "Who?", "target_new": "Ida", "ground_truth": "Max"}
    files.write_json(tmp_path / "edits.json", [row])
    found = edit_audits.edits([called], tmp_path / "edits.json", tmp_path / "out", model=lm)
    assert set(found["adapters"]) == {"base-2"}
    assert found["adapters"]["base-2"]["efficacy"] != found["base"]["efficacy"]


def test_a_results_file_cut_in_half_is_made_again_and_no_other(
    lm, adapters, together, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(together.page.parent, tmp_path / "out"))
    cut = out / "a1" / "answers.parquet"
    cut.write_bytes(cut.read_bytes()[:100])
    right, asked = llm.generate, []

    def generate(*given: Any, **options: Any) -> Any:
        asked.append(set(options["adapters"]))
        return right(*given, **options)

    monkeypatch.setattr(llm, "generate", generate)
    compare(adapters, out, model=lm, facts=FACTS, **HOW)
    assert asked == [{1}]
    assert files_of(out) == files_of(together.page.parent)
