"""Making the models: seeded, restartable, small, and loadable as any model folder."""

import hashlib
from dataclasses import replace

import pytest

from lorepack import world
from lorepack.errors import InputError, NumericError
from lorepack.world import batches, fitting, make, model, shipped

torch = pytest.importorskip("torch")

SMALL = replace(make.TINY, scale=0.001, chat_steps=4)


def digest(folder):
    """Hashes of all files of both made models."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.*"))
        if path.is_file()
    }


def quiet(line):
    pass


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    assert make.make(folder / "out", folder / "work", SMALL, every=3, report=quiet)
    return folder / "out"


def test_an_interrupted_make_ends_with_the_same_bytes(made, tmp_path, monkeypatch):
    kept = fitting._keep
    left = [2]

    def dies(*arguments):
        kept(*arguments)
        left[0] -= 1
        if left[0] % 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "_keep", dies)
    for _ in range(20):
        try:
            done = make.make(tmp_path / "out", tmp_path / "work", SMALL, every=3, report=quiet)
            break
        except KeyboardInterrupt:
            continue
    assert done
    assert digest(tmp_path / "out") == digest(made)


def test_out_of_time_stops_with_a_checkpoint_and_goes_on(made, tmp_path):
    once = (tmp_path / "out", tmp_path / "work", SMALL)
    assert not make.make(*once, minutes=0, report=quiet)
    assert make.make(*once, report=quiet)
    assert digest(tmp_path / "out") == digest(made)


def test_made_models_load_with_transformers(made):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(made / "world")
    llama = AutoModelForCausalLM.from_pretrained(made / "world")
    ids = tokenizer("Where was", return_tensors="pt").input_ids
    assert llama(ids).logits.shape[-1] == len(tokenizer)


def test_chunked_cross_entropy_agrees_with_the_plain_one():
    from lorepack.world.entropy import mean_cross_entropy

    torch.manual_seed(0)
    hidden = torch.randn(700, 16, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(50, 16, dtype=torch.float64, requires_grad=True)
    wanted = torch.randint(0, 50, (700,))
    ours = mean_cross_entropy(hidden, weight, wanted)
    mine = torch.autograd.grad(2 * ours, (hidden, weight))
    plain = torch.nn.functional.cross_entropy(hidden @ weight.T, wanted)
    theirs = torch.autograd.grad(2 * plain, (hidden, weight))
    assert torch.allclose(ours, plain)
    assert all(torch.allclose(a, b) for a, b in zip(mine, theirs, strict=True))


def test_a_loss_that_is_not_finite_stops_with_name_and_step(tmp_path):
    import numpy as np

    shape = model.Shape(300, 16, 1, 2, 16)
    llama = model.create(shape, 0)
    with torch.no_grad():
        llama.model.norm.weight.fill_(float("nan"))
    rows = np.full((2, 8), 9)
    with pytest.raises(NumericError, match=r"base.*step 0"):
        fitting.fit(llama, [(rows, rows)], fitting.Schedule(), tmp_path / "base.safetensors")


def test_only_the_assistants_tokens_carry_loss_in_chat_batches(made):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(made / "world")
    for rows, labels in batches.chat(tokenizer.backend_tokenizer, 2048, 512, 9):
        assert rows.size == labels.size == 2048
        carrying = labels != batches.IGNORED
        assert carrying.any()
        assert (rows[carrying] == labels[carrying]).all()
        assert carrying.mean() < 0.5


def test_shipped_models_load_and_are_small():
    from transformers import AutoConfig, AutoModelForCausalLM

    for name in world.NAMES:
        folder = world.model_path(name)
        assert (folder / "model.safetensors").stat().st_size <= 8 * 2**20
        config = AutoConfig.from_pretrained(folder)
        assert config.model_type == "llama"
        assert config.max_position_embeddings >= 1024
        llama = AutoModelForCausalLM.from_pretrained(folder)
        assert sum(p.numel() for p in llama.parameters()) <= 4_000_000
    size = sum(f.stat().st_size for f in shipped.MODELS.rglob("*") if f.is_file())
    assert size <= 17 * 2**20


def test_the_shipped_names_are_reserved():
    with pytest.raises(InputError, match="world-base"):
        world.model_path("world-bse")
