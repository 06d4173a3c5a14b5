"""One task, asked of the base and of several adapters in one pass.

Importing this module imports lm-evaluation-harness.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from lm_eval.api.metrics import mean

from lorepack.auditing.harm.extra import quiet
from lorepack.auditing.harm.fitting import Shots, fit
from lorepack.auditing.harm.model import HarnessModel
from lorepack.auditing.harm.settings import HarmSettings
from lorepack.auditing.harm.sheet import Sheet
from lorepack.auditing.harm.tasks import Loaded
from lorepack.errors import InputError, NumericError
from lorepack.llm import SYSTEM

Progress = Callable[[int, int], None]


def ask(
    model: HarnessModel,
    loaded: Loaded,
    adapters: Sequence[int | None],
    settings: HarmSettings,
    progress: Progress | None = None,
) -> list[Sheet]:
    """Ask a task of the base and of adapters.

    Args:
        model: ours, as the harness knows it.
        loaded: the task.
        adapters: of the model's stack; None is the base.
        settings: shots, limit, template.
        progress: called with requests done and requests in all.

    Returns:
        A sheet an adapter.

    Raises:
        InputError: a task that cannot be asked so: too few shots to draw from, sampling, images.
        NumericError: a log-likelihood or a metric is NaN.
    """
    parts = list(loaded.parts.values())
    shares = _shares([len(task.eval_docs) for task in parts], settings.limit)
    parts = [task for task, share in zip(parts, shares, strict=True) if share]
    shares = [share for share in shares if share]
    chat = _chat(model, loaded.name, settings)
    with quiet():
        shots = [
            _build(task, model, share, settings, chat)
            for task, share in zip(parts, shares, strict=True)
        ]
    answers = _answers(model, parts, adapters, progress)
    version = "+".join(sorted({str(task.VERSION) for task in parts}))
    filters = "+".join(sorted({f.name for task in parts for f in task._filters}))
    sheets = []
    for given in answers:
        sheet = Sheet(
            task=loaded.name,
            version=version,
            template="chat" if chat else "plain",
            filter=filters,
            asked=max(s.asked for s in shots),
            used=[n for s in shots for n in s.used],
            overlong=sum(s.overlong for s in shots),
        )
        _score(sheet, parts, given)
        sheets.append(sheet)
    return sheets


def _chat(model: HarnessModel, name: str, settings: HarmSettings) -> bool:
    """Whether prompts go through the chat template: the world's own always do, where it exists."""
    has = model.lm.chat.has_template
    if settings.chat_template and not has:
        raise InputError(f"model {model.lm.name} has no chat template; leave --chat-template out")
    return has and (settings.chat_template or name.startswith("world-"))


def _shares(sizes: Sequence[int], limit: int | None) -> list[int]:
    """How many items of each part are asked: as even as its sizes allow."""
    if limit is None or limit >= sum(sizes):
        return list(sizes)
    shares = [0] * len(sizes)
    left = limit
    while left:
        open_parts = [i for i, size in enumerate(sizes) if shares[i] < size]
        each = max(1, left // len(open_parts))
        for i in open_parts:
            taken = min(each, sizes[i] - shares[i], left)
            shares[i] += taken
            left -= taken
    return shares


def _build(task: Any, model: HarnessModel, share: int, settings: HarmSettings, chat: bool) -> Shots:
    """Let the task build its requests, shots fitted to the model's context."""
    name = task.config.task
    if getattr(task, "MULTIMODAL", False) or getattr(task, "UNSAFE_CODE", False):
        raise InputError(f"task {name}: needs images, sound or running code; only text is asked")
    own = task.get_config("num_fewshot")
    # The harness's rule: what a task fixes at 0 stays 0, its prompt holds examples of its own.
    count = own if own == 0 or settings.shots is None else settings.shots
    task.set_config(key="num_fewshot", value=count or 0)
    task.set_fewshot_seed(seed=settings.seed)
    shots = fit(task, model)
    try:
        task.build_all_requests(
            limit=share,
            rank=int(settings.half == "odd"),
            world_size=1 if settings.half is None else 2,
            apply_chat_template=chat,
            fewshot_as_multiturn=chat,
            system_instruction=SYSTEM if chat and name.startswith("world-") else None,
            chat_template=model.apply_chat_template if chat else None,
            tokenizer_name=model.tokenizer_name if chat else "",
        )
    except (AssertionError, AttributeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"task {name}: {count} shots cannot be drawn ({reason})") from error
    return shots


def _answers(
    model: HarnessModel,
    parts: Sequence[Any],
    adapters: Sequence[int | None],
    progress: Progress | None,
) -> list[dict[int, Any]]:
    """Answers to all requests of all parts: a dict an adapter, by the identity of the request."""
    by_kind: dict[str, list[Any]] = defaultdict(list)
    for task in parts:
        for request in task.instances:
            by_kind[request.request_type].append(request)
    found: list[dict[int, Any]] = [{} for _ in adapters]
    for kind, requests in by_kind.items():
        if kind == "loglikelihood":
            pairs = [model.pair(*request.args) for request in requests]
            rows: list[list[Any]] = model.likelihoods(pairs, adapters, progress)  # type: ignore[assignment]
        elif kind == "loglikelihood_rolling":
            texts = [request.args[0] for request in requests]
            rows = model.rolling(texts, adapters)  # type: ignore[assignment]
        else:
            rows = model.texts([request.args for request in requests], adapters, progress)  # type: ignore[assignment]
        for mine, answers in zip(found, rows, strict=True):
            mine.update(zip(map(id, requests), answers, strict=True))
    return found


def _score(sheet: Sheet, parts: Sequence[Any], answers: dict[int, Any]) -> None:
    """Let the harness's filters and metrics make values of answers, item by item."""
    values: dict[str, list[Any]] = defaultdict(list)
    aggregations: dict[str, Any] = {}
    for task in parts:
        by_item: dict[int, list[Any]] = defaultdict(list)
        for request in task.instances:
            request.resps, request.filtered_resps = [answers[id(request)]], {}
            by_item[request.doc_id].append(request)
        task.apply_filters()
        for doc_id, requests in by_item.items():
            requests.sort(key=lambda request: request.idx)
            sheet.items.append(f"{task.config.task}/{doc_id}")
            for number, name in enumerate(requests[0].filtered_resps):
                row = task.process_results(
                    requests[0].doc, [request.filtered_resps[name] for request in requests]
                )
                for metric, value in row.items():
                    key = metric if number == 0 else f"{metric},{name}"
                    values[key].append(value)
                    aggregations[key] = task.aggregation().get(metric, mean)
    for metric, found in values.items():
        if aggregations[metric] is mean:
            sheet.metrics[metric] = [_finite(sheet, metric, value) for value in found]
        else:
            total = aggregations[metric](found)
            sheet.totals[metric] = _finite(sheet, metric, total)


def _finite(sheet: Sheet, metric: str, value: Any) -> float:
    if not math.isfinite(value):
        raise NumericError(
            f"task {sheet.task}: {metric} is {value}; the model's answers are broken"
        )
    return float(value)
