"""A machine to install on: the commands that install.sh finds there, each a stand-in that does and
prints what the real one does, as far as install.sh sees of it. Beside them the machine has POSIX's
own tools, which are real, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from support.program import ROOT, copy_program

POSIX = [
    *("awk", "bash", "cat", "chmod", "cmp", "cp", "df", "dirname", "du", "env", "find", "grep"),
    *("head", "id", "mkdir", "mv", "rm", "sed", "sh", "sleep", "sort", "tail", "touch", "tr"),
]
NO_TOOLS = "xcode-select: error: unable to get active developer directory, use `xcode-select -h`"
DIALOG = "xcode-select: note: No developer tools were found, requesting install."

CURL = """
while [ "$1" != -o ]; do shift; done
echo "curl $3" >>"$CALLS"
echo 'mkdir -p "$UV_UNMANAGED_INSTALL"; cp "$MACHINE/uv" "$UV_UNMANAGED_INSTALL"' >"$2"
"""
# As the translation and `arch -arm64` do: what runs under Rosetta, and all that it starts, is told
# that this is an Intel Mac; $NATIVE stands for the preference that arch sets.
DARWIN = {
    "uname": 'case "$1" in -m) echo "${NATIVE:-%(machine)s}" ;; *) echo Darwin ;; esac',
    "sw_vers": "echo %(version)s",
    "sysctl": """
[ %(translated)s != none ] || { echo "sysctl: unknown oid '$2'" >&2; exit 1; }
[ -z "${NATIVE:-}" ] && echo %(translated)s || echo 0""",
    "arch": 'shift; NATIVE=arm64 exec "$@"',
    "curl": CURL,
}
LINUX = {
    "curl": CURL,
    "uname": 'case "$1" in -m) echo x86_64 ;; *) echo Linux ;; esac',
    "getconf": "echo glibc 2.36",
    "ldconfig": "echo libGL.so.1 libgthread-2.0.so.0",
    "espeak-ng": ":",
    "aplay": ":",
}
# uv, for what install.sh asks of it. Its .venv runs the tests' own packages.
UV = """
echo "uv $* [progress ${UV_NO_PROGRESS:-drawn}]" >>"$CALLS"
case "$1 $2" in
--version*) echo "uv 0.13.9 (%(triple)s)" ;;
"python find") echo "$MACHINE/python3.12" ;;
"venv "*) mkdir -p .venv/bin; cp "$MACHINE/venv-python" .venv/bin/python ;;
"pip install") [ -z "${UV_TORCH_BACKEND:-}" ] || { echo 'client error (Connect)'; exit 2; } ;;
esac"""
VENV_PYTHON = """
case "$*" in
--version) echo Python 3.12.11 ;;
*install_models*) echo "pete_sounds: smolvlm2-256m is ready" >&2 ;;
-c*) ;;
*) exec "%(python)s" "$@" ;;
esac"""
PYTHON3 = """
case "$*" in
"-m pip --version") echo pip 21.2.4 ;;
"-m pip install"*)
  echo pip >>"$CALLS"
  while [ "$1" != --target ]; do shift; done
  mkdir -p "$2/bin"; cp "$MACHINE/uv" "$2/bin/uv" ;;
*) exec "%(python)s" "$@" ;;
esac"""
BREW = """
echo "brew $*" >>"$CALLS"
case "$1" in
list) [ -x "$MACHINE/opt/homebrew/bin/uv" ] ;;
install) cp "$MACHINE/uv" "$MACHINE/opt/homebrew/bin/uv" ;;
--prefix) echo "$MACHINE/opt/homebrew" ;;
esac"""
# `command -v` tells where a command would be on such a machine.
BASH_ENV = """
command() {
  local found
  if [ "$1" != -v ]; then builtin command "$@"; return; fi
  found=$(builtin command -v "$2") && printf '%s\\n' "${found#"$MACHINE"}"
}
"""


class Machine:
    """A machine with a fresh copy of the program, in a folder with a space in its name.

    tools: are Apple's command line tools there? translated: what sysctl.proc_translated is.
    """

    def __init__(
        self,
        folder: Path,
        system: dict[str, str] = DARWIN,
        machine: str = "arm64",
        version: str = "14.5",
        translated: str = "0",
        tools: bool = True,
        homebrew: bool = False,
    ) -> None:
        self.root, self.calls = folder / "machine", folder / "calls"
        self.calls.touch()
        self.program = copy_program(folder / "Pete Sounds").parent
        for name in ("install.sh", "requirements.txt"):
            shutil.copy(ROOT / name, self.program)
        for bin in ("usr/bin", "opt/homebrew/bin"):
            (self.root / bin).mkdir(parents=True)
        for name in POSIX:
            found = shutil.which(name, path="/bin:/usr/bin:/sbin:/usr/sbin")
            assert found, name
            (self.root / "usr/bin" / name).symlink_to(found)
        facts = {"machine": machine, "version": version, "translated": translated}
        for name, body in system.items():
            self.add(f"usr/bin/{name}", body % facts)
        self.add("uv", UV % {"triple": "aarch64-apple-darwin"})
        self.add("python3.12", ":")
        self.add("venv-python", VENV_PYTHON % {"python": sys.executable})
        if system is DARWIN:
            path = "/Library/Developer/CommandLineTools"
            self.add("usr/bin/xcode-select", f"echo {path}" if tools else says(NO_TOOLS, 2))
            self.add("usr/bin/python3", 'echo dialog >>"$CALLS"; ' + says(DIALOG, 1))
        if tools:
            self.add("usr/bin/python3", PYTHON3 % {"python": sys.executable})
        if homebrew:
            self.add("opt/homebrew/bin/brew", BREW)
        (self.root / "bash_env").write_text(BASH_ENV)
        self.environment = {
            "PATH": f"{self.root}/opt/homebrew/bin:{self.root}/usr/bin",
            "HOME": str(folder),
            "MACHINE": str(self.root),
            "CALLS": str(self.calls),
            "BASH_ENV": str(self.root / "bash_env"),
        }

    def add(self, name: str, body: str) -> None:
        """Put a command there."""
        path = self.root / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def type(self, line: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """What a line typed in a terminal there does; stdout has stderr as well."""
        return subprocess.run(
            ["/bin/bash", "-c", line], check=False, cwd=folder or self.program,
            env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=120,
        )  # fmt: skip

    def asked(self, command: str) -> list[str]:
        """The command lines that a stand-in was called with."""
        lines = self.calls.read_text().splitlines()
        return [line for line in lines if line.split()[0] == command]


def says(words: str, code: int) -> str:
    """The body of a command that fails with these words."""
    return f"echo '{words}' >&2; exit {code}"
