"""One step of many jobs, as the engine takes it, and the same written out in plain torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lorepack.lora import Stack
from lorepack.training import Example, Recipe
from lorepack.training.course import Course, Part
from lorepack.training.loop import Order, _job
from lorepack.training.passes import Member, StepLoss, backward
from lorepack.training.rows import can_share
from lorepack.training.teacher import HELD, Teacher
from training.toy import ToyModel, made


def taught(count: int, seed: int = 0, passage: int = 20) -> list[Example]:
    """`made`, each with a teacher's sequence: a common passage, an own word, then the example."""
    context = tuple(range(3, 3 + passage))
    return [
        Example(e.ids, e.answer_start, e.fact_id, (*context, 40 + n, *e.ids))
        for n, e in enumerate(made(count, seed))
    ]


def order(folder: Path, name: str, examples: Sequence[Example], recipe: Recipe, **more: Any) -> Any:
    return Order(examples, recipe, folder / f"t-{name}", folder / f"a-{name}", **more)


class Step:
    """The first step of some jobs, in one stack of random factors."""

    def __init__(self, lm: ToyModel, orders: Sequence[Any], held: int = HELD) -> None:
        self.lm = lm
        self.courses = [Course(_job(lm, o), o.out, o.adapter) for o in orders]
        jobs = [course.job for course in self.courses]
        self.stack = Stack(lm.model, [job.spec for job in jobs], [job.seed for job in jobs])
        draw = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for index in range(len(jobs)):
                factors = self.stack.factors(index)
                for _, lora_B in factors.values():
                    lora_B.copy_(0.3 * torch.randn(lora_B.shape, generator=draw))
                self.stack.load_factors(index, factors)
        self.teacher = Teacher(lm, jobs, held)

    def take(self, tokens: int = 4096, divide: bool = False) -> tuple[list[StepLoss], list[Tensor]]:
        """What the engine measures, and the gradients."""
        members = [
            Member(n, course, can_share(self.lm.model.config, 60))
            for n, course in enumerate(self.courses)
        ]
        for parameter in self.stack.parameters():
            parameter.grad = None
        with self.stack.attached():
            found = backward(self.lm, self.stack, members, self.teacher, tokens, divide)
        return found, [p.grad.clone() for p in self.stack.parameters()]

    def plainly(self) -> tuple[list[dict[str, float]], list[Tensor]]:
        """The same, one unpadded sequence at a time, all logits, the equations written out."""
        self._seen: dict[Any, tuple[Tensor, list[Tensor]]] = {}
        told, total = [], torch.zeros((), dtype=torch.float64)
        with self.stack.attached():
            for slot, course in enumerate(self.courses):
                recipe = course.job.recipe
                means: dict[str, Tensor] = {}
                for number, part in enumerate(course.parts()):
                    means |= (
                        self._replayed(slot, recipe, part)
                        if number
                        else {"loss": self._trained(slot, recipe, part)}
                    )
                weights = {"loss": 1.0, "replay_loss": recipe.replay_weight}
                weights["kl"] = (
                    recipe.replay_weight if recipe.replay_loss == "kl" else recipe.kl_weight
                )
                total = total + sum(weights[name] * mean for name, mean in means.items())
                told.append({name: float(mean.detach()) for name, mean in means.items()})
            grads = torch.autograd.grad(total, list(self.stack.parameters()), allow_unused=True)
        zeros = [torch.zeros_like(p) for p in self.stack.parameters()]
        return told, [z if g is None else g for g, z in zip(grads, zeros, strict=True)]

    def run(self, ids: Sequence[int], slot: int | None) -> tuple[Tensor, list[Tensor]]:
        """Logits (T, V) and hidden states (T, D) of one sequence, with an adapter or without.

        Once for all terms on it: norms compute in fp32 whatever the model's dtype, so that
        gradients which pass them one by one are rounded otherwise than their sum.
        """
        key = (tuple(ids), slot)
        if key not in self._seen:
            self._seen[key] = self._run(ids, slot)
        return self._seen[key]

    def _run(self, ids: Sequence[int], slot: int | None) -> tuple[Tensor, list[Tensor]]:
        with self.stack.using(slot), torch.set_grad_enabled(slot is not None):
            out = self.lm.model(input_ids=torch.tensor([list(ids)]), output_hidden_states=True)
        return out.logits[0].double(), [state[0] for state in out.hidden_states]

    def _trained(self, slot: int, recipe: Recipe, part: Part) -> Tensor:
        first = 1 if recipe.loss == "full" else None
        if recipe.loss.startswith("distill"):
            return self._distilled(slot, recipe, part.examples)
        losses = torch.cat([self._surprises(slot, e, first) for e in part.examples])
        if recipe.loss == "memft":
            active = losses[losses.detach().exp() > 1 / recipe.memft_threshold]
            return active.mean() if len(active) else 0 * losses.sum()
        if recipe.loss == "memft-sigmoid":
            far = losses.detach() - -math.log(recipe.memft_threshold)
            weights = 1 / (1 + (-recipe.memft_slope * far).exp())
            return (weights * losses).sum() / weights.sum()
        return losses.mean()

    def _surprises(self, slot: int, example: Example, first: int | None) -> Tensor:
        logits, _ = self.run(example.ids, slot)
        start = max(1, example.answer_start) if first is None else first
        return torch.stack(
            [
                -(logits[t - 1, example.ids[t]] - logits[t - 1].exp().sum().log())
                for t in range(start, len(example.ids))
            ]
        )

    def _distilled(self, slot: int, recipe: Recipe, examples: Sequence[Example]) -> Tensor:
        tau = recipe.distill_temperature
        kls, mine, theirs = [], [], []
        for e in examples:
            count = len(e.ids) - e.answer_start
            (z, h), (z_t, h_t) = self.run(e.ids, slot), self.run(e.teacher_ids, None)
            q = (z[-count - 1 : -1] / tau).softmax(-1)
            p = (z_t[-count - 1 : -1] / tau).softmax(-1)
            kls.append(
                self._top(p, q, recipe)
                if recipe.loss == "distill-topk"
                else (p * (p / q).log()).sum(-1)
            )
            mine.append([layer[-count - 1 : -1] for layer in h])
            theirs.append([layer[-count - 1 : -1] for layer in h_t])
        loss = torch.cat(kls).mean()
        if recipe.loss == "distill-topk":
            return loss
        far, counts = [], [len(kl) for kl in kls]
        for states, taught in zip(mine, theirs, strict=True):
            each = [
                (s - t).abs().mean() / t.abs().mean() for s, t in zip(states, taught, strict=True)
            ]
            far.append(sum(each) / len(each))
        distance = sum(n * d for n, d in zip(counts, far, strict=True)) / sum(counts)
        return recipe.distill_kl_weight * loss + recipe.distill_hidden_weight * distance

    @staticmethod
    def _top(p: Tensor, q: Tensor, recipe: Recipe) -> Tensor:
        found = []
        for p_t, q_t in zip(p, q, strict=True):
            best = p_t.argsort(descending=True)[: recipe.distill_top_k]
            if recipe.distill_rest == "ignored":
                found.append(-(p_t[best] * q_t[best].log()).sum())
                continue
            rest_p, rest_q = 1 - p_t[best].sum(), 1 - q_t[best].sum()
            inside = (p_t[best] * (p_t[best] / q_t[best]).log()).sum()
            found.append(inside + rest_p * (rest_p / rest_q).log())
        return torch.stack(found)

    def _replayed(self, slot: int, recipe: Recipe, part: Part) -> dict[str, Tensor]:
        means = {}
        if recipe.replay_loss != "kl":
            first = 1 if recipe.replay_loss == "full" else None
            losses = torch.cat([self._surprises(slot, e, first) for e in part.examples])
            means["replay_loss"] = losses.mean()
        if recipe.replay_loss == "kl" or recipe.kl_weight:
            kls = []
            for e in part.examples:
                p = self.run(e.ids, None)[0][:-1].softmax(-1)
                q = self.run(e.ids, slot)[0][:-1].softmax(-1)
                kls.append((p * (p / q).log()).sum(-1))
            means["kl"] = torch.cat(kls).mean()
        return means
