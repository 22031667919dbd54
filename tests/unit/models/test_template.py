"""The wording that a checkpoint brings along: found wherever it is, and held to words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from narrator.errors import ModelError
from narrator.models.template import MAX_LENGTH, chat_template, render
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
    assert render(chat_template(model), messages=MESSAGES) == "To User: What?"


def test_a_model_without_one_is_refused(model: Path) -> None:
    in_the_tokenizers_settings(model, "")
    with pytest.raises(ModelError, match="has no chat template"):
        chat_template(model)


@pytest.mark.parametrize(
    "template",
    [
        "{{ 'a' * 8000000000 }}",
        "{{ 10 ** 10 ** 9 }}",
        "{{ 'a'.ljust(8000000000) }}",
        "{{ 'a' | center(8000000000) }}",
        "{{ '%8000000000d' % 1 }}",
        "{{ 'a' ~ 'a' }}",
        "{{ [messages, messages] }}",
        "{% for n in range(99999) %}a{% endfor %}",
        "{% set a %}aa{% endset %}",
        "{% macro a(n) %}{{ a(n + n) }}{% endmacro %}{{ a('a') }}",
        "{% filter upper %}a{% endfilter %}",
        "{% include 'a' %}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    ],
)
def test_one_that_does_more_than_put_words_together_is_refused(model: Path, template: str) -> None:
    in_jinja(model, template)
    with pytest.raises(ModelError, match="does more than word a prompt"):
        chat_template(model)


@pytest.mark.parametrize(
    "template",
    [
        "{% set a = 'aaaaaaaaaa' %}" + "{% set a = a + a %}" * 40,
        "{% set a = messages %}" + "{% set a = a + a %}" * 40,
        "".join(f"{{% for {name} in 'aaaaaaaaaa' %}}" for name in "abcdef")
        + "a"
        + "{% endfor %}" * 6,
    ],
)
def test_one_that_makes_too_long_a_text_is_refused(model: Path, template: str) -> None:
    in_jinja(model, template)
    with pytest.raises(ModelError, match="too long"):
        render(chat_template(model), messages=MESSAGES)


def test_one_that_is_too_long_itself_is_refused(model: Path) -> None:
    in_jinja(model, "a" * MAX_LENGTH + "a")
    with pytest.raises(ModelError, match="is too long"):
        chat_template(model)


@pytest.mark.parametrize("template", ["{{ 'a' * 8000000000 }}", "{{ 10 ** 10 ** 9 }}"])
def test_nor_does_a_library_that_renders_one_multiply(template: str) -> None:
    with pytest.raises(ModelError, match="multiplies"):
        ImmutableSandboxedEnvironment().from_string(template).render()
