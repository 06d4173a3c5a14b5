"""Losses at few positions equal the plain loss over all logits, in every family."""

from __future__ import annotations

import pytest
import torch
import transformers as hf
from torch import nn

from lorepack.training import Example
from lorepack.training.objectives import Objective, Tokens, trained_term
from lorepack.training.outputs import outputs_at
from lorepack.training.rows import Rows, lay_out, split
from tiny_models import FAMILIES, tiny
from training.toy import made, padded, recipe


def plain(model: nn.Module, examples: list[Example], whole: bool) -> torch.Tensor:
    """-log p of every label, from all logits of a padded batch, written out."""
    batch = padded(examples, whole)
    logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    logp = logits.double().log_softmax(-1)
    found = []
    for row, labels in enumerate(batch.labels.tolist()):
        for position, label in enumerate(labels):
            if label >= 0:
                found.append(-logp[row, position - 1, label])
    return torch.stack(found)


def objective_of(**changes: object) -> Objective:
    return trained_term(recipe(**changes)).objective


def losses(objective: Objective, model: nn.Module, rows: Rows) -> torch.Tensor:
    terms = torch.zeros_like(rows.targets)
    outputs = outputs_at(model, rows, objective.hidden)
    return objective(outputs, Tokens(rows.targets, terms, rows.examples, (False,)), ()).values


def rows_of(examples: list[Example], whole: bool, share: bool = False) -> Rows:
    return lay_out([(0, whole, row) for row in split(examples, share)], 0)


@pytest.mark.parametrize("loss", ["answer", "full"])
@pytest.mark.parametrize("family", FAMILIES)
def test_losses_equal_those_of_all_logits(family: str, loss: str) -> None:
    model, objective = tiny(family).double(), objective_of(loss=loss)
    rows = rows_of(made(5), objective.whole)
    with torch.no_grad():
        got, want = losses(objective, model, rows), plain(model, made(5), objective.whole)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


def test_soft_caps_and_logit_scales_are_kept() -> None:
    shape = {
        "vocab_size": 256,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 48,
        "pad_token_id": 0,
    }
    capped = hf.Gemma2Config(**shape, head_dim=8, final_logit_softcapping=0.5)
    scaled = hf.GraniteConfig(**shape, logits_scaling=7.0)
    for config in (capped, scaled, hf.CohereConfig(**shape, logit_scale=0.3)):
        torch.manual_seed(0)
        model = hf.AutoModelForCausalLM.from_config(config).double().eval()
        for weight in model.parameters():
            weight.data += 0.1 * torch.randn_like(weight)
        with torch.no_grad():
            got = losses(objective_of(), model, rows_of(made(4), False))
            want = plain(model, made(4), False)
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


def test_the_head_sees_only_what_the_loss_needs() -> None:
    model, rows = tiny("llama"), rows_of(made(6), False)
    seen = []
    handle = model.get_output_embeddings().register_forward_hook(
        lambda module, args, out: seen.append(out.shape)
    )
    losses(objective_of(), model, rows)
    handle.remove()
    assert seen == [(1, len(rows.targets), 256)]
    assert not model.get_output_embeddings()._forward_pre_hooks
