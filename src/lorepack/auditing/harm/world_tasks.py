"""The made world's harm sets as tasks of the harness."""

from __future__ import annotations

from typing import Any

from lorepack import world
from lorepack.auditing.harm.originals import Row, Splits

NAMES = ("world-choice", "world-comparison", "world-truth", "world-two_hop")
_SCORING = "lorepack.auditing.harm.scoring"


def rows_of(name: str) -> Splits:
    """The rows of one harm set, question and choices worded as the harness asks them."""
    kept = world.harm_sets()[name.removeprefix("world-")]
    return {"test": [{"id": row["id"], **_ROWS[name](row)} for row in kept]}


def _choice(row: Row) -> Row:
    listed = "".join(f"\n- {choice}" for choice in row["choices"])
    return {
        "prompt": f"Question: {row['question']}\nOptions:{listed}",
        "choices": [f"Answer: {choice}" for choice in row["choices"]],
        "gold": row["gold"],
    }


def _comparison(row: Row) -> Row:
    return {
        "prompt": f"Question: {row['question']}",
        "choices": [f"Answer: {choice}" for choice in row["choices"]],
        "gold": row["gold"],
    }


def _truth(row: Row) -> Row:
    return {
        "prompt": f"Question: {row['question']}",
        "choices": [f"Answer: {text}" for text in (*row["true"], *row["false"])],
        "gold": 0,
        "right": len(row["true"]),
    }


def _two_hop(row: Row) -> Row:
    return {"prompt": f"Question: {row['question']}", "answer": row["answer"]}


_ROWS = {
    "world-choice": _choice,
    "world-comparison": _comparison,
    "world-truth": _truth,
    "world-two_hop": _two_hop,
}

_MEAN = {"aggregation": "mean", "higher_is_better": True}


def config_of(name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The harness's settings of one set, and the settings that are functions, by their names."""
    config: dict[str, Any] = {
        "test_split": "test",
        "doc_to_text": "prompt",
        "num_fewshot": 0,
        "target_delimiter": "\n",
        "metadata": {"version": 1.0},
    }
    if name == "world-two_hop":
        config |= {
            "output_type": "generate_until",
            "doc_to_target": "answer",
            "gen_prefix": "Answer:",
            "generation_kwargs": {"until": ["\n"], "max_gen_toks": 32, "do_sample": False},
            "metric_list": [{"metric": "acc", **_MEAN}],
        }
        return config, {"process_results": f"{_SCORING}.answer"}
    config |= {
        "output_type": "multiple_choice",
        "doc_to_target": "gold",
        "doc_to_choice": "choices",
    }
    if name == "world-truth":
        config["metric_list"] = [{"metric": metric, **_MEAN} for metric in ("acc", "mass")]
        return config, {"process_results": f"{_SCORING}.truth"}
    config["metric_list"] = [{"metric": metric, **_MEAN} for metric in ("acc", "acc_norm")]
    return config, {}
