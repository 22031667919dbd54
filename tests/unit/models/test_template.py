"""The wording that a checkpoint has of its own: found wherever it is, and run in a sandbox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from jinja2.exceptions import SecurityError

from narrator.errors import ModelError
from narrator.models.template import chat_template
from support.made_models import change_json

MESSAGES = [{"role": "user", "content": [{"type": "text", "text": "What?"}]}]


def in_jinja(folder: Path, template: str) -> None:
    (folder / "chat_template.jinja").write_text(template)


def in_json(folder: Path, template: str) -> None:
    change_json(folder / "chat_template.json", chat_template=template)


def in_the_tokenizers_settings(folder: Path, template: str) -> None:
    (folder / "chat_template.json").unlink()
    change_json(folder / "tokenizer_config.json", chat_template=template)


@pytest.mark.parametrize("put", [in_jinja, in_json, in_the_tokenizers_settings])
def test_it_is_found_wherever_it_is(model: Path, put: Callable[[Path, str], None]) -> None:
    put(model, "{% set m = messages[0] %}{{ 'To ' + m.role | title }}: {{ m.content[0].text }}")
    assert chat_template(model).render(messages=MESSAGES) == "To User: What?"


def test_a_model_without_one_is_refused(model: Path) -> None:
    in_the_tokenizers_settings(model, "")
    with pytest.raises(ModelError, match="has no chat template"):
        chat_template(model)


@pytest.mark.parametrize(
    "template",
    ["{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ messages.append.__globals__ }}",
     "{{ messages.clear() }}", "{% for n in range(999999999) %}a{% endfor %}"],
)  # fmt: skip
def test_one_cannot_leave_the_sandbox(model: Path, template: str) -> None:
    in_jinja(model, template)
    with pytest.raises((SecurityError, OverflowError)):
        chat_template(model).render(messages=MESSAGES)
