"""The first minute with the program: not installed yet, --help, --demo, and what that says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from narrator.errors import ExitCode
from support.captions import can_say, captions_of, is_wav, lengths
from support.program import SCRIPT, Program, copy_program, ended_well, one_line
from support.video import DemoClip

HEAVY = {"cv2", "numpy", "mlx", "mlx_vlm", "torch", "transformers", "huggingface_hub", "pyttsx3"}

# ---------------------------------------------------------------------------------------- the demo


class Demo(NamedTuple):
    """The demo's first captions as lines; and as JSON with a WAV, in a run of its own."""

    lines: subprocess.CompletedProcess[str]
    json: subprocess.CompletedProcess[str]
    wav: Path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """Both run at once: the clip's own clock sets the pace."""
    first = Program(tmp_path_factory.mktemp("lines") / "program")
    second = Program(tmp_path_factory.mktemp("json") / "program")
    wav = second.here / "out.wav"
    try:
        lines = first.start("--demo", "--mute", "--limit", "3")
        as_json = second.start("--demo", "--mute", "--json", "--limit", "3", "--wav", wav)
        yield Demo(lines.finished(120), as_json.finished(120), wav)
    finally:
        first.close()
        second.close()


def test_the_demo_says_what_is_true_at_its_time(demo: Demo, demo_clip: DemoClip) -> None:
    ended_well(demo.json)
    captions = captions_of(demo.json.stdout)
    assert len(captions) == 3
    true_at = [demo_clip.true_at(caption["at"]) for caption in captions]
    for caption, truth in zip(captions, true_at):
        assert caption["caption"] in truth, caption
    assert sum(len(truth) == 1 for truth in true_at) >= 2  # Others are of the walls between.


def test_captions_alone_go_to_stdout_and_the_rest_to_stderr(
    demo: Demo, demo_clip: DemoClip
) -> None:
    ended_well(demo.lines)
    assert len(demo.lines.stdout.splitlines()) == 3
    assert set(demo.lines.stdout.splitlines()) <= {caption for *_, caption in demo_clip.rests}
    assert re.fullmatch(
        r"(pete_sounds: making the .*\n)?"
        r"pete_sounds: engine: (OpenVINO|torch|mlx) on .* \(.*\)\n"
        r"pete_sounds: ready in \d+\.\d s; Ctrl-C ends it\n"
        r"pete_sounds: That was the demo\. Start it without --demo to .*\n",
        demo.lines.stderr,
    )


def test_the_times_of_captions_are_those_of_their_frames(demo: Demo) -> None:
    captions = captions_of(demo.json.stdout)
    ats = [caption["at"] for caption in captions]
    assert ats == sorted(set(ats))
    began = [
        datetime.fromisoformat(caption["time"]).timestamp() - at
        for at, caption in zip(ats, captions)
    ]
    assert max(began) - min(began) < 0.5
    assert abs(time.time() - began[0]) < 600


def test_each_sentence_of_the_demo_is_heard_in_the_wav(speech: None, demo: Demo) -> None:
    is_wav(demo.wav)
    captions = [caption["caption"] for caption in captions_of(demo.json.stdout)]
    closing = demo.json.stderr.splitlines()[-1].partition(": ")[2]
    can_say(lengths(demo.wav), [*captions, *re.findall(r"[^.]+\.", closing)])


# ------------------------------------------------------------------------------------------ --help


def test_help_imports_nothing_heavy(program: Program) -> None:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", str(SCRIPT), "--help"],
        check=True, capture_output=True, text=True, env=program.environment,
    )  # fmt: skip
    imported = {line.split("|")[-1].strip().split(".")[0] for line in result.stderr.splitlines()}
    assert "argparse" in imported
    assert not imported & HEAVY
    assert result.stdout.startswith("usage: pete_sounds.py")


def test_help_that_nobody_reads_ends_quietly_under_the_scripts_own_name() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        result = subprocess.run(
            [SCRIPT, "--help"], check=False, stdout=closed, stderr=subprocess.PIPE, text=True
        )
    assert (result.returncode, result.stderr) == (0, "")


# ------------------------------------------------------------------------------- not installed yet


@pytest.fixture
def bare(program: Program) -> Program:
    """The program without .venv, run by a Python that is not .venv's."""
    program.script = copy_program(program.folder / "not installed")
    program.python = os.path.realpath(sys.executable)
    return program


def put_python(script: Path, content: str) -> None:
    """Put this shell script where .venv has its Python."""
    python = script.parent / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(content)
    python.chmod(0o755)


def test_before_it_is_installed_it_says_how_to_install_it(bare: Program) -> None:
    assert "run ./install.sh first" in one_line(bare("--demo"), ExitCode.ENGINE)
    assert "--nosuch" in one_line(bare("--nosuch"), ExitCode.USAGE)
    assert "smolvlm2-256m" in bare("--list-models").stdout


@pytest.mark.parametrize(
    "content",
    # The second: what an installer that was killed leaves, a Python, but not .venv's own.
    ["#!/no/such/interpreter\n", f'#!/bin/sh\nexec "{os.path.realpath(sys.executable)}" "$@"\n'],
    ids=["does not start", "is tried for ever"],
)
def test_a_broken_environment_is_told(bare: Program, content: str) -> None:
    put_python(bare.script, content)
    assert "run ./install.sh again" in one_line(bare(timeout=30), ExitCode.ENGINE)


def test_it_goes_on_under_its_environment_with_the_same_options(bare: Program) -> None:
    put_python(bare.script, '#!/bin/sh\nprintf "%s\\n" "$@"\n')
    options = ["--prompt", "two words", "--source=-x.mp4"]
    assert bare(*options).stdout.splitlines() == [str(bare.script), *options]


def test_an_environment_without_its_packages_is_told(bare: Program) -> None:
    subprocess.run(
        [bare.python, "-m", "venv", "--without-pip", bare.script.parent / ".venv"], check=True
    )
    (bare.here / "video.mp4").write_bytes(b"x")
    assert "run ./install.sh again" in one_line(bare("--source", "video.mp4"), ExitCode.ENGINE)


def older_python(version: str) -> str:
    """A Python of that version on this machine, outside any virtual environment."""
    candidates = [shutil.which(f"python{version}") or ""]
    for folder in (Path.home() / ".pyenv/versions", Path.home() / ".local/share/uv/python"):
        candidates += map(str, sorted(folder.glob(f"*{version}.*/bin/python{version}")))
    for candidate in filter(None, candidates):
        if subprocess.run([candidate, "-c", ""], check=False, capture_output=True).returncode == 0:
            return candidate
    pytest.skip(f"there is no Python {version} on this machine")


def test_it_starts_under_the_python_that_older_systems_have(bare: Program) -> None:
    bare.python = older_python("3.9")
    result = bare("--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert "--list-models" in result.stdout
    assert "smolvlm2-256m" in bare("--list-models").stdout
    assert "run ./install.sh first" in one_line(bare("--demo"), ExitCode.ENGINE)


@pytest.mark.parametrize("version", ["2.7", "3.8"])
def test_a_python_that_is_too_old_says_what_to_type_instead(bare: Program, version: str) -> None:
    bare.python = older_python(version)
    told = one_line(bare("--demo"), ExitCode.ENGINE)
    assert told.endswith("then type: .venv/bin/python pete_sounds.py")
