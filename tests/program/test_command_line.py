"""What is refused, in one line and with the exit code that README gives, before and after anything
is loaded. Which options there are and what each takes is tested in tests/unit/test_options.py.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from narrator.errors import ExitCode
from support.program import ROOT, Program, copy_program, one_line
from support.server import ScriptedServer, status


@pytest.fixture
def here(program: Program) -> Program:
    """The program in a folder with a picture that is fine, and files that are none."""
    cv2.imwrite(str(program.here / "picture.png"), np.full((48, 64, 3), 128, np.uint8))
    (program.here / "notes.mp4").write_text("Just words.\n" * 50)
    (program.here / "folder").mkdir()
    return program


# ---------------------------------------------------------------------------------- wrong options


@pytest.mark.parametrize(
    "arguments",
    [["--nosuch"], ["--limit", "1\n2"], ["--source"]],
)
def test_a_wrong_command_line_is_answered_in_one_line(
    program: Program, arguments: list[str]
) -> None:
    line = one_line(program(*arguments), ExitCode.USAGE)
    assert arguments[0] in line
    assert line.endswith("(--help lists the options)")


def test_a_wav_that_can_not_be_written_is_told(here: Program) -> None:
    result = here("--source", "picture.png", "--wav", "no/such/folder/out.wav", "--mute")
    assert "--wav no/such/folder/out.wav can't be written" in one_line(result, ExitCode.USAGE)


# ------------------------------------------------------------------- no such source, no such model


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("notes.mp4", "notes.mp4 is not a picture or video"),
        ("http://127.0.0.1:9/", "can't be reached: the connection was refused"),
        ("gopher://hole", "only http, https and rtsp streams can be watched"),
    ],
)
def test_a_source_that_shows_nothing_is_told(here: Program, source: str, told: str) -> None:
    assert told in one_line(here("--source", source, "--once"), ExitCode.SOURCE)


def test_no_camera_is_told(program: Program) -> None:
    if any(Path("/dev").glob("video*")) or sys.platform == "darwin":
        pytest.skip("there may be a camera here")
    assert "camera 0 is not connected" in one_line(program("--once"), ExitCode.SOURCE)
    assert "no camera found" in one_line(program("--list-cameras"), ExitCode.SOURCE)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("nosuch", "is not in --list-models, not a folder, and not a Hub repository"),
        ("broken", "broken/model.safetensors can't be used"),
    ],
)
def test_a_model_that_can_not_be_had_is_told(
    here: Program, tiny: Path, model: str, told: str
) -> None:
    shutil.copytree(tiny, here.here / "broken", ignore=shutil.ignore_patterns("*.mp4"))
    (here.here / "broken" / "model.safetensors").write_bytes(b"no weights at all")
    result = here("--source", "picture.png", "--model", model, "--mute")
    assert told in one_line(result, ExitCode.MODEL)


def test_a_model_that_can_not_be_fetched_is_told_with_a_way_out(here: Program) -> None:
    result = here("--source", "picture.png", "--model", "nosuch/model", "--mute")
    told = one_line(result, ExitCode.MODEL)
    assert "nosuch/model is not on this machine and the Hub can't be reached" in told
    assert "--demo works without it, the next start tries again" in told


def test_measuring_a_model_that_is_not_on_disk_says_how_to_get_it(program: Program) -> None:
    program.script = copy_program(program.folder / "a copy")
    (program.script.parent / ".venv").symlink_to(ROOT / ".venv")
    told = one_line(program("--bench"), ExitCode.MODEL)
    assert "run pete_sounds.py with it once to download it (1.0" in told


def test_a_list_that_can_not_be_printed_is_told(program: Program) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no disk that is full")
    result = program.start("--list-models", shell='exec "$@" >/dev/full').finished()
    assert "this can't be printed: No space left on device" in one_line(result, ExitCode.MODEL)


def test_too_little_memory_is_told_as_such(program: Program) -> None:
    """Though a library that failed half-way fails the next time for another reason."""
    (program.here / "torch.py").write_text(
        "import sys\n"
        "first = sys.__dict__.setdefault('failed', __spec__) is __spec__\n"
        "raise ImportError('failed to map segment' if first else 'can be imported once')"
    )
    program.environment["PYTHONPATH"] = str(program.here)
    result = program("--demo", "--engine", "torch", "--mute")
    assert "too little memory; close other programs" in one_line(result, ExitCode.ENGINE)


def test_debug_shows_where_an_error_arose_and_without_it_nothing_does(program: Program) -> None:
    result = program("--source", "nosuch.mp4", "--debug")
    assert result.returncode == ExitCode.SOURCE
    assert result.stderr.startswith("pete_sounds: nosuch.mp4 can't be opened")
    assert "Traceback (most recent call last)" in result.stderr
    assert "FileNotFoundError" in result.stderr
    one_line(program("--source", "nosuch.mp4"), ExitCode.SOURCE)


# -------------------------------------------------------------------------------------- odd values

# What most likely goes wrong; a zero byte can't be in a command line.
ODD = st.one_of(
    st.sampled_from(
        [
            *("", " ", "0", "99", "-1", "1", "4", "16", "200", "1e999", "nan", "inf", "0x10"),
            *("picture.png", "notes.mp4", "folder", ".", "/", "/dev/null", "/dev/zero", "no/such"),
            *("smolvlm2-256m", "owner/name", "~", "~nosuchuser/x", "x" * 300, "9" * 5000),
            *("http://127.0.0.1:9/", "http://[", "a://b", "\udcff", "\x1b[2J\r\n", "ü\u202e"),
        ]
    ),
    st.text(st.characters(exclude_characters="/\0"), max_size=6),  # --wav would write anywhere
    st.integers().map(str),
    st.floats().map(str),
)
SWITCHES = ["--demo", "--detail", "--once", "--always", "--mute", "--bench", "--json", "--debug"]
VALUED = [
    *("--source", "--model", "--bits", "--prompt", "--max-tokens", "--frames", "--limit"),
    *("--voice", "--rate", "--volume", "--wav", "--vtt", "--save", "--nosuch"),
]
WORDS = st.one_of(
    st.sampled_from(SWITCHES).map(lambda name: [name]),
    st.tuples(st.sampled_from(VALUED), ODD).map(list),
    st.tuples(st.sampled_from(VALUED), ODD).map(lambda pair: ["=".join(pair)]),
    st.sampled_from(VALUED).map(lambda name: [name]),  # its value is missing, or the next option
)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(words=st.lists(WORDS, max_size=4))
def test_any_command_line_is_refused_in_one_line_or_ends_at_the_engine(
    here: Program, server: ScriptedServer, words: list[list[str]]
) -> None:
    """The engine is a server that refuses, so that everything before it is reached."""
    server.models = status(401)
    odd = [word for pair in words for word in pair]
    result = here("--source", "picture.png", "--engine", server.url, "--mute", *odd)
    # A camera that is not there is waited for, and the engine ends it.
    told = [line for line in result.stderr.splitlines() if "; trying again" not in line]
    assert result.stdout == ""
    assert result.returncode not in (ExitCode.OK, ExitCode.INTERNAL), result.stderr
    if "--debug" in odd:
        return
    if told[0].startswith("pete_sounds: frames are sent to "):
        del told[0]
    assert len(told) == 1, result.stderr
    assert told[0].startswith("pete_sounds: ")
    assert told[0].isprintable()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--source", "x" * 100_000], ExitCode.SOURCE),
        (["--source", "\udcff\udcfe.mp4", "--json"], ExitCode.SOURCE),
        (["--prompt", "\x1b[2J" * 1000, "--model", "\udcff"], ExitCode.MODEL),
    ],
    ids=["huge", "not Unicode", "control characters"],
)
def test_odd_values_are_refused_in_one_line(
    here: Program, arguments: list[str], code: ExitCode
) -> None:
    one_line(here(*arguments), code)
