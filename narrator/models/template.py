"""A checkpoint's own wording around a prompt: a jinja2 template, which may come from anybody, so it
runs in jinja2's sandbox."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from narrator.errors import ModelError
from narrator.models.folder import naming, read_json


def chat_template(folder: Path) -> Template:
    """The template of the checkpoint in a folder. Raises ModelError where there is none."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    for name in ("chat_template.jinja", "chat_template.json", "tokenizer_config.json"):
        file = folder / name
        with naming(file):
            if file.suffix == ".json":
                source = read_json(file).get("chat_template")
            else:
                source = file.read_text("utf-8") if file.is_file() else None
            if source:
                template = environment.from_string(source)
                template.filename = str(file)  # for messages
                return template
    raise ModelError(f"{folder} has no chat template; it needs a chat_template.json")
