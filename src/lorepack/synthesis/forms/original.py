"""The form ``original``: the passage itself."""

from __future__ import annotations

from lorepack.synthesis.forms.form import Form, Job, Talk
from lorepack.synthesis.forms.rounds import draft


def _write(job: Job) -> Talk:
    for passage in job.passages:
        job.admit(passage, [draft("original", passage, text=passage.text)])
    return
    yield  # it asks nothing


ORIGINAL = Form(
    name="original",
    about="the passage itself",
    default=1,
    yields="texts",
    write=_write,
    source="LoRA as knowledge memory (arXiv 2603.01097), questions 4 and 5",
)
