"""The model card: the README that travels with an adapter, with its measured harm."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from lorepack import files
from lorepack.reports import (
    bits_file,
    budget_file,
    causes,
    details,
    guess_floor,
    harm_tables,
    tables,
)
from lorepack.reports import figures as fig
from lorepack.reports.audit_file import Audit
from lorepack.reports.page import environment, template
from lorepack.reports.run_files import RunFiles, read_run
from lorepack.reports.sections import controls
from lorepack.reports.verdict import verdict

EMBEDDED = ("world", "world-base")
"""base models that ship with the package; `lorepack.world` names them too, on a floor above"""


def model_card(run: Path | str) -> Path:
    """Write the model card of a run's adapter.

    Args:
        run: a run folder whose stages are done.

    Returns:
        The path of ``adapter/README.md``. Equal result files give equal bytes; nothing of
        ``timing.json`` is in it.

    Raises:
        LorepackError: a result file is missing or cut off; names it and the stage to run again.
    """
    found = read_run(run)
    path = found.folder / "adapter" / "README.md"
    files.write_text(path, render_card(found))
    return path


def render_card(found: RunFiles) -> str:
    """The model card of a run as Markdown."""
    audit, base = found.audit, details.base_name(found)
    env = environment(autoescape=False)
    env.filters["md"] = md
    env.globals["table"] = table
    text = env.from_string(template("card.md")).render(
        front=front_matter(found),
        title=md(f"Lorepack adapter for {details.short_name(base)}"),
        base=details.short_name(base).replace("`", "'"),
        trained_on=_trained_on(audit),
        audit=audit,
        verdict=verdict(audit, found.budget),
        learning=tables.learning(audit),
        shifts=tables.shifts(audit),
        side_effects=tables.side_effects(audit),
        relations=sorted(audit.by_relation),
        loading=loading(base),
        groups=_recipe(found),
        hashes=details.fingerprints(found),
        **_measured(found),
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def _measured(found: RunFiles) -> dict[str, Any]:
    """What not every run has, in words; None where it was not measured."""
    causes_found, harm, bits = found.audit.causes, found.harm, found.bits
    before, _ = controls(found.audit)
    return {
        "budget": None if found.budget is None else md(budget_file.outcome(found.budget)),
        "held": found.budget is not None and found.budget.held,
        "causes": None if causes_found is None else causes.sentence(causes_found),
        "floor": None if before is None else guess_floor.sentence(before),
        "harm": harm,
        "harm_table": None if harm is None else harm_tables.results(harm),
        "harm_asked": None if harm is None else harm_tables.asked(harm),
        "bits": None if bits is None else bits_file.sentence(bits),
    }


def _recipe(found: RunFiles) -> list[tuple[str, details.Pairs]]:
    """The settings that decide the adapter, without those that were left unset."""
    kept = ("Recipe", "Adapter", "Mix made", "Training", "Probe")
    return [
        (title, tuple(pair for pair in rows if pair[1] != details.UNSET))
        for title, rows in details.groups(found)
        if title in kept
    ]


def front_matter(found: RunFiles) -> str:
    """The YAML on top of the card, as hubs read it."""
    meta: dict[str, Any] = {
        "base_model": details.short_name(details.base_name(found)),
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["lora", "knowledge", "lorepack"],
    }
    return yaml.safe_dump(meta, sort_keys=False, allow_unicode=True)


def loading(base: str) -> tuple[str, ...]:
    """The five lines that load the adapter in PEFT.

    Args:
        base: the base model's name; a folder of this machine becomes a place to fill in.
    """
    if base in EMBEDDED:
        imports, source = (
            "import lorepack.world, peft, transformers",
            "str({})".format(f"lorepack.world.model_path({base!r})"),
        )
    else:
        imports, source = "import peft, transformers", json.dumps(details.short_name(base))
    return (
        imports,
        f"base = {source}" + ("  # the folder that holds it" if details.is_path(base) else ""),
        "tokenizer = transformers.AutoTokenizer.from_pretrained(base)",
        "model = transformers.AutoModelForCausalLM.from_pretrained(base)",
        'model = peft.PeftModel.from_pretrained(model, ".")  # the folder of this file',
    )


def _trained_on(audit: Audit) -> str:
    new, trained = audit.trained_unknown, audit.trained
    if not trained:
        return "no facts"
    text = f"{fig.facts(trained)} that its base did not know"
    if new != trained:
        text = f"{fig.facts(trained)}, {fig.count(new)} of them Unknown to its base"
    if audit.rehearsed:
        text += f", with {fig.facts(audit.rehearsed, 'known')} rehearsed"
    return text


def table(rows: tables.Table) -> str:
    """A table as Markdown."""
    lines = [rows.columns, ("---",) * len(rows.columns), *rows.rows]
    return "\n".join("| " + " | ".join(md(value) for value in line) + " |" for line in lines)


def md(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, one line."""
    flat = " ".join(str(text).split())
    if set(flat) == {"-"}:
        return flat
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", flat).replace("&", "&amp;")
