"""A checkpoint's own wording around a prompt: a template of jinja2, made by whoever made the
checkpoint. It is held to what puts words together, so that it takes no more memory than words do.

How long it takes is not limited: a loop in a loop in a loop ends when the program is told to end,
and so that it can be, nothing here keeps Python's lock for long.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from jinja2 import Environment, Template, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

from narrator.errors import ModelError
from narrator.models.folder import naming, read_json

MAX_LENGTH = 50_000  # characters, and parts of a list
WORDING = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.For, nodes.If, nodes.Assign,
    nodes.Name, nodes.Const, nodes.Getitem, nodes.Getattr, nodes.Slice, nodes.Compare,
    nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.CondExpr, nodes.Test, nodes.Add,
    nodes.Filter,
)  # fmt: skip
FILTERS = ("capitalize", "length", "lower", "title", "trim", "upper")


def limited_sum(left: Any, right: Any) -> Any:
    """left + right, unless it is too long."""
    if hasattr(left, "__len__") and len(left) + len(right) > MAX_LENGTH:
        raise ModelError("the model's chat template makes a text that is too long")
    return left + right


def refuse(left: Any, right: Any) -> NoReturn:
    """In the place of an operator that can take all memory, or Python's lock for hours."""
    raise ModelError("the model's chat template multiplies, which no wording has to")


# Of every sandbox of jinja2: transformers has one for the families whose processors it brings.
SandboxedEnvironment.intercepted_binops = frozenset(("+", "*", "**"))
SandboxedEnvironment.default_binop_table.update({"+": limited_sum, "*": refuse, "**": refuse})


def chat_template(folder: Path) -> Template:
    """The template of the checkpoint in a folder. Raises ModelError for one that has none, or one
    that does more than put words together."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    for name in ("chat_template.jinja", "chat_template.json", "tokenizer_config.json"):
        file = folder / name
        with naming(file):
            if file.suffix == ".json":
                source = read_json(file).get("chat_template")
            else:
                source = file.read_text("utf-8") if file.is_file() else None
            if source:
                refuse_more_than_wording(environment, source, file)
                template = environment.from_string(source)
                template.filename = str(file)  # for messages
                return template
    raise ModelError(f"{folder} has no chat template; it needs a chat_template.json")


def refuse_more_than_wording(environment: Environment, source: str, file: Path) -> None:
    """Raises ModelError for a template, read from file, that does more than put words together."""
    if len(source) > MAX_LENGTH:
        raise ModelError(f"the chat template in {file} is too long")
    for node in environment.parse(source).find_all(nodes.Node):
        name = getattr(node, "name", "")
        if type(node) not in WORDING or (type(node) is nodes.Filter and name not in FILTERS):
            what = type(node).__name__.lower()
            raise ModelError(f"the chat template in {file} does more than word a prompt ({what})")


def render(template: Template, **context: Any) -> str:
    """What a template makes of these names. Raises ModelError for more than MAX_LENGTH."""
    text = ""
    for piece in template.generate(**context):
        text = limited_sum(text, piece)
    return text
