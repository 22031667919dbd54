"""What uv would install on a Mac: it is given an interpreter that answers as a Mac's does, so that
the markers of macOS hold. (uv's own cross-resolution leaves platform_release empty, and with it the
dependencies of the metapackage pyobjc.) Skipped where PyPI can't be reached."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from narrator.settings import VENV
from support.program import ROOT

# The second line is for the shell, as the path of an interpreter in the first may have no space.
INTERPRETER = f"""#!/bin/sh
'''exec' "{sys.executable}" "$0" "$@" #'''
import json, subprocess, sys
answer = subprocess.run([{sys.executable!r}, *sys.argv[1:]], stdout=subprocess.PIPE).stdout
try:
    facts = json.loads(answer)
    facts["markers"].update(
        platform_machine="arm64", platform_system="Darwin", sys_platform="darwin",
        platform_release="23.6.0", platform_version="Darwin Kernel Version 23.6.0",
    )
    facts.update(os=dict(name="macos", major=14, minor=0), arch="aarch64")
    answer = json.dumps(facts).encode()
except ValueError:
    pass
sys.stdout.buffer.write(answer)
"""
NOT_ON_A_MAC = {"openvino", "rapidocr", "prism"}  # prism is optional


class MacUv:
    """uv, as it resolves and installs on a Mac."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = VENV.resolve().parent / ".uv"  # where install.sh puts it
        self._uv = shutil.which("uv") or str(self._own / "bin" / "uv")
        self._python = folder / "python"
        self._python.write_text(INTERPRETER)
        self._python.chmod(0o755)

    def __call__(self, *arguments: str | Path) -> str:
        """What it prints."""
        cache = self._own / "cache"
        result = subprocess.run(
            [self._uv, "pip", *arguments, "--python", self._python, "--cache-dir", cache],
            check=False, cwd=self._folder, capture_output=True, text=True,
        )  # fmt: skip
        if re.search("error sending request|client error|dns error", result.stderr):
            pytest.skip("PyPI can't be reached")
        assert result.returncode == 0, result.stderr
        return result.stdout

    def resolved(self, excluded: list[str]) -> list[str]:
        """What requirements.txt comes to, each with its version."""
        excludes = self._folder / "excludes"
        excludes.write_text("\n".join(excluded))
        options = ("-q", "--no-annotate", "--no-header", "--excludes", excludes)
        return self("compile", ROOT / "requirements.txt", *options).split()


@pytest.fixture(scope="module")
def mac_uv(tmp_path_factory: pytest.TempPathFactory) -> MacUv:
    return MacUv(tmp_path_factory.mktemp("uv"))


@pytest.fixture(scope="module")
def excluded() -> list[str]:
    """What install.sh leaves out."""
    found = re.search("^EXCLUDED='(.*?)'", (ROOT / "install.sh").read_text(), re.M | re.S)
    assert found
    return found[1].split()


@pytest.fixture(scope="module")
def packages(mac_uv: MacUv, excluded: list[str]) -> list[str]:
    """What is installed on a Mac."""
    return mac_uv.resolved(excluded)


def frameworks(packages: list[str]) -> list[str]:
    """Those of them that are a part of pyobjc."""
    return [package for package in packages if package.startswith("pyobjc")]


def test_a_mac_gets_the_frameworks_that_are_used_and_no_others(
    mac_uv: MacUv, excluded: list[str], packages: list[str]
) -> None:
    without = [name for name in excluded if name != "pyobjc"]
    assert len(frameworks(mac_uv.resolved(without))) > 100  # or the markers did not hold
    assert len(frameworks(packages)) < 12


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, without its own package's."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module)


def is_in(folder: Path, module: str) -> bool:
    """True when a folder with packages has this module."""
    path = folder.joinpath(*module.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def test_every_module_that_is_imported_on_a_mac_is_there(
    mac_uv: MacUv, packages: list[str], tmp_path: Path
) -> None:
    mac_uv("install", "-q", "--no-deps", "--target", tmp_path, *frameworks(packages))
    driver = importlib.util.find_spec("pyttsx3")
    assert driver
    assert driver.origin
    sources = [*(ROOT / "narrator").rglob("*.py"), Path(driver.origin).parent / "drivers/nsss.py"]
    sources += tmp_path.glob("*/__init__.py")  # the frameworks import each other
    wanted = {module for path in sources for module in imports(path)}
    names = {package.partition("==")[0] for package in packages}
    known = packages_distributions()
    for module in sorted(wanted):
        top = module.partition(".")[0]
        if top in NOT_ON_A_MAC:
            continue
        if top in known:  # and no framework, as this is no Mac
            assert names & {name.lower().replace("_", "-") for name in known[top]}, module
        elif top not in {"narrator", *sys.stdlib_module_names}:
            assert is_in(tmp_path, module), module
    assert wanted >= {"AVFoundation", "AppKit", "Foundation", "PyObjCTools", "Vision", "objc"}
