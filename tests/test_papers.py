"""The papers tell the truth: README's options and codes, the pins, the form of KNOWN_ISSUES."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

import pete_sounds

README = (pete_sounds.PROJECT / "README.md").read_text("utf-8")
KNOWN_ISSUES = (pete_sounds.PROJECT / "KNOWN_ISSUES.md").read_text("utf-8")
REQUIREMENTS = (pete_sounds.PROJECT / "requirements.txt").read_text("utf-8")
PACKAGES = [
    "mlx", "mlx-vlm", "opencv-python", "huggingface-hub", "transformers", "torch", "torchvision",
    "num2words", "pyttsx3",
]  # fmt: skip


def test_readme_shows_the_options_as_help_prints_them() -> None:
    help_text = subprocess.run(
        [sys.executable, "pete_sounds.py", "--help"], cwd=pete_sounds.PROJECT, check=True,
        env={**os.environ, "COLUMNS": "90"}, capture_output=True, text=True,
    ).stdout  # fmt: skip
    # argparse words the lines above the groups differently from one Python to the next.
    groups = help_text[help_text.index("what to watch:") :].strip()
    assert groups in README


def test_readme_names_no_option_that_does_not_exist() -> None:
    known = set(re.findall(r"--[a-z-]+", pete_sounds.argument_parser().format_help()))
    ours = [line for line in README.splitlines() if "mlx_vlm.server" not in line]  # has its own
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", "\n".join(ours))) <= known


def test_readme_explains_each_exit_code() -> None:
    sentence = re.search(r"Exit codes: .*?\.\n", README, re.DOTALL)
    assert sentence
    assert {int(code) for code in re.findall(r"\b\d\b", sentence[0])} == set(pete_sounds.ExitCode)


def test_readme_shows_json_with_the_fields_that_are_printed() -> None:
    import json

    shown = [json.loads(line) for line in README.splitlines() if line.startswith('{"time"')]
    assert shown
    assert set(shown[0]) == {
        "time", "at", "caption", "first_token_s", "caption_s", "frame_age_s", "spoken",
    }  # fmt: skip


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_pinned_to_an_exact_version(package: str) -> None:
    lines = re.findall(rf"^{package}(?:\[\w+\])?([=<>~!]\S*?)(?:;.*)?$", REQUIREMENTS, re.MULTILINE)
    assert lines
    assert all(re.fullmatch(r"==[0-9][0-9.]*", version) for version in lines)


def test_each_known_issue_has_its_date_and_its_five_parts() -> None:
    entries = re.split(r"^## ", KNOWN_ISSUES, flags=re.MULTILINE)[1:]
    assert [entry[:10] for entry in entries].count("2025-01-15") == 5
    for entry in entries:
        assert re.match(r"\d{4}-\d{2}-\d{2}: \S", entry)
        parts = re.findall(r"^- \*\*([\w-]+)\*\*:", entry, re.MULTILINE)
        assert parts == ["Issue", "Details", "Error", "Resolution", "Trade-off"], entry[:40]
