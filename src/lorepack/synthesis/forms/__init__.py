"""The forms that training data can have, one file a form or a family of forms."""

from lorepack.errors import InputError, suggest
from lorepack.synthesis.forms.atomic import ATOMIC
from lorepack.synthesis.forms.deep_context import DEEP_CONTEXT
from lorepack.synthesis.forms.exam import EXAM
from lorepack.synthesis.forms.form import Ask, Form, Job, Talk
from lorepack.synthesis.forms.original import ORIGINAL
from lorepack.synthesis.forms.pairs import ENTITY_PAIRS
from lorepack.synthesis.forms.qa import QA
from lorepack.synthesis.forms.self_study import SELF_STUDY
from lorepack.synthesis.forms.texts import REWRITE, SUMMARY

__all__ = ["FORMS", "Ask", "Form", "Job", "Talk", "form_named"]

_ALL = (ORIGINAL, QA, SUMMARY, REWRITE, ATOMIC, ENTITY_PAIRS, SELF_STUDY, DEEP_CONTEXT, EXAM)

FORMS: dict[str, Form] = {form.name: form for form in _ALL}


def form_named(name: str) -> Form:
    """A form by the name that ``--form`` knows it by.

    Raises:
        InputError: there is none of that name.
    """
    if name not in FORMS:
        raise InputError(f"no form {name!r}{suggest(name, FORMS)}")
    return FORMS[name]
