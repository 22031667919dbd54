"""The wording that a checkpoint has of its own: found wherever it is, and run in a sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2.exceptions import SecurityError

from narrator.errors import ModelError
from narrator.models.template import chat_template
from support.made_models import change_json

MESSAGES = [{"role": "user", "content": [{"type": "text", "text": "What?"}]}]


def test_it_is_found_wherever_it_is_and_a_model_without_one_is_refused(model: Path) -> None:
    text = "{% set m = messages[0] %}{{ 'To ' + m.role | title }}: {{ m.content[0].text }}"
    (model / "chat_template.jinja").write_text(text)
    assert chat_template(model).render(messages=MESSAGES) == "To User: What?"
    (model / "chat_template.jinja").unlink()
    change_json(model / "chat_template.json", chat_template=text)
    assert chat_template(model).render(messages=MESSAGES) == "To User: What?"
    (model / "chat_template.json").unlink()
    change_json(model / "tokenizer_config.json", chat_template=text)
    assert chat_template(model).render(messages=MESSAGES) == "To User: What?"
    change_json(model / "tokenizer_config.json", chat_template="")
    with pytest.raises(ModelError, match="has no chat template"):
        chat_template(model)


@pytest.mark.parametrize(
    "template",
    ["{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ messages.clear() }}",
     "{% for n in range(999999999) %}a{% endfor %}"],
)  # fmt: skip
def test_one_cannot_leave_the_sandbox(model: Path, template: str) -> None:
    (model / "chat_template.jinja").write_text(template)
    with pytest.raises((SecurityError, OverflowError)):
        chat_template(model).render(messages=MESSAGES)
