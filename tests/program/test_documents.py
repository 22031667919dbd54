"""The documents are true: options, exit codes, commands, the drawing of the program, the pins, and
the form of KNOWN_ISSUES and CHANGELOG."""

from __future__ import annotations

import ast
import json
import re
import sys
from importlib.metadata import packages_distributions

import pytest

from narrator.commands import TYPED
from narrator.errors import ExitCode
from support.captions import FIELDS
from support.program import ROOT, Program

README, KNOWN_ISSUES, CONTRIBUTING, CHANGELOG = (
    (ROOT / f"{name}.md").read_text("utf-8")
    for name in ("README", "KNOWN_ISSUES", "CONTRIBUTING", "CHANGELOG")
)
DOCS = {file.name: file.read_text("utf-8") for file in (ROOT / "docs").glob("*.md")}
FOR_USERS = "\n".join([README, *DOCS.values()])
REQUIREMENTS = re.findall(
    r"^([\w-]+)(?:\[\w+\])?(.*)$", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE
)
NAMED = {
    "mlx", "mlx-vlm", "opencv-python", "huggingface-hub", "transformers", "torch", "torchvision",
    "num2words", "pyttsx3",
}  # fmt: skip
COCOA = "pyobjc-framework-cocoa"
ON_A_MAC = {
    "AVFoundation": ["pyobjc-framework-avfoundation"],
    "AppKit": [COCOA],
    "Foundation": [COCOA],
    "Vision": ["pyobjc-framework-vision"],
    "objc": ["pyobjc-core"],
}


@pytest.fixture(scope="module")
def help_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What --help prints."""
    program = Program(tmp_path_factory.mktemp("help") / "program")
    program.environment["COLUMNS"] = "90"
    return program("--help").stdout


def test_the_options_are_shown_as_help_prints_them(help_text: str) -> None:
    # argparse words the lines above the groups differently from one Python to the next.
    groups = help_text[help_text.index("what to watch:") :].strip()
    assert groups in DOCS["options.md"]


def test_no_option_is_named_that_does_not_exist(help_text: str) -> None:
    known = set(re.findall(r"--[a-z-]+", help_text))
    ours = [line for line in FOR_USERS.splitlines() if "mlx_vlm.server" not in line]  # has its own
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", "\n".join(ours))) <= known


def test_each_exit_code_is_explained() -> None:
    sentence = re.search(r"Exit codes: .*?\.\n", DOCS["options.md"], re.DOTALL)
    assert sentence
    assert {int(code) for code in re.findall(r"\b\d\b", sentence[0])} == set(ExitCode)


def test_readme_shows_json_with_the_fields_that_are_printed() -> None:
    shown = [json.loads(line) for line in README.splitlines() if line.startswith('{"time"')]
    assert shown
    assert set(shown[0]) == FIELDS


def test_readme_has_a_row_for_each_command_that_can_be_typed() -> None:
    table = README[README.index("| type |") : README.index("## More")]
    named = set(re.findall(r"`([^`]+)`", table)) | {"Enter"}
    assert {name for command in TYPED for name in command.names[:1]} <= named


def test_the_papers_are_short_and_found_from_readme() -> None:
    assert len(README.split()) <= 1300
    assert len(KNOWN_ISSUES.split()) <= 2800
    assert {f"docs/{name}" for name in DOCS} <= set(re.findall(r"\]\(([^)]+)\)", README))


def test_each_link_leads_to_a_file() -> None:
    for folder, text in ((ROOT, README + KNOWN_ISSUES), (ROOT / "docs", "\n".join(DOCS.values()))):
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            assert link.startswith("https:") or (folder / link).exists(), link


def test_contributing_draws_the_house_as_it_is() -> None:
    drawing = CONTRIBUTING[CONTRIBUTING.index("\nnarrator/\n") : CONTRIBUTING.index("\ntests/ ")]
    drawn, folder = set(), ""
    for line in drawing.splitlines()[2:]:
        names = re.findall(r"[\w/]+\.py\b", line)
        if line.startswith("    "):  # the files of a folder
            drawn |= {f"{folder}{name}" for name in names}
        elif names and line.startswith(f"  {names[0]} "):
            drawn.add(names[0])
        else:
            folder = line.split()[0]
    house = ROOT / "narrator"
    modules = {str(path.relative_to(house)) for path in house.rglob("*.py")}
    assert drawn == {name for name in modules if not name.endswith("__init__.py")}


def test_each_package_is_pinned_to_an_exact_version() -> None:
    assert {name for name, _ in REQUIREMENTS} >= NAMED
    for name, pin in REQUIREMENTS:
        assert re.fullmatch(r"==[0-9][0-9.]*(; .+)?", pin), name


def test_each_package_that_is_imported_by_name_is_pinned() -> None:
    trees = [ast.parse(path.read_text("utf-8")) for path in (ROOT / "narrator").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    names |= {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    imported = {name.partition(".")[0] for name in names} - {"narrator", *sys.stdlib_module_names}
    assert {"PIL", "cv2", "numpy"} < imported
    distributions = {**packages_distributions(), **ON_A_MAC}
    pinned = {name for name, _ in REQUIREMENTS}
    for name in imported:
        spelt = {each.lower().replace("_", "-") for each in distributions.get(name, [name])}
        assert pinned & spelt, name


def test_each_known_issue_has_its_date_and_its_five_parts() -> None:
    entries = re.split(r"^## ", KNOWN_ISSUES, flags=re.MULTILINE)[1:]
    assert entries
    for entry in entries:
        assert re.match(r"\d{4}-\d{2}-\d{2}: \S", entry)
        parts = re.findall(r"^- \*\*([\w-]+)\*\*:", entry, re.MULTILINE)
        assert parts == ["Issue", "Details", "Error", "Resolution", "Trade-off"], entry[:40]


def test_the_changelog_begins_with_what_is_not_released_yet() -> None:
    headings = re.findall(r"^## (.*)$", CHANGELOG, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert all(re.fullmatch(r"\d{4}-\d{2}-\d{2}", heading) for heading in headings[1:])
    kinds = set(re.findall(r"^### (.*)$", CHANGELOG, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
