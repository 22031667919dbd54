"""Lists of real options with odd values, up to where a model would be loaded: one clear line and
the right code, whatever they are."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import pete_sounds
from pete_sounds import ExitCode, ModelError, main
from support.program import TINY, Program

SWITCHES = [
    action.option_strings[0]
    for action in pete_sounds.argument_parser()._actions
    if action.nargs == 0 and "--list" not in action.option_strings[0]
]
VALUED = [
    action.option_strings[0]
    for action in pete_sounds.argument_parser()._actions
    if action.nargs is None
]
ODD = st.one_of(
    st.sampled_from(
        [
            *(
                "",
                " ",
                "0",
                "99",
                "-1",
                "1",
                "4",
                "16",
                "200",
                "1e999",
                "nan",
                "inf",
                "0x10",
                "1_0",
            ),
            *("picture.png", "notes.mp4", "folder", ".", "/", "/dev/null", "/dev/zero", "no/such"),
            *("auto", "mlx", "torch", "smolvlm2-256m", "owner/name", str(TINY), "~", "~nobody/x"),
            *("http://127.0.0.1:9/", "rtsp://me:s3cret@127.0.0.1:9/x", "http://[", "://", "a://b"),
            *(
                "x" * 300,
                "9" * 5000,
                "/" * 5000,
                "a\0b",
                "\0",
                "\udcff",
                "\x1b[2J\r\n",
                "ünï/\u202e",
            ),
        ]
    ),
    st.text(st.characters(exclude_characters="/"), max_size=6),  # --wav would write anywhere
    st.integers().map(str),
    st.floats().map(str),
)
WORDS = st.one_of(
    st.sampled_from(SWITCHES).map(lambda name: [name]),
    st.tuples(st.sampled_from(VALUED), ODD).map(list),
    st.tuples(st.sampled_from(VALUED), ODD).map(lambda pair: ["=".join(pair)]),
    st.sampled_from(VALUED).map(lambda name: [name]),  # its value is missing, or the next option
)


class SilentVoice:
    """Stand-in: a child for each of hundreds of voices would take minutes."""

    def __init__(self, *_: Any) -> None:
        pass

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def up_to_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """main() without what takes seconds, in an empty folder; which models it asked for."""
    asked: list[str] = []

    def find_weights(model: str, *_: Any) -> Path:
        asked.append(model)
        raise ModelError("so far, so good")

    for name, stand_in in (
        ("find_weights", find_weights),
        ("random_checkpoint", lambda model: TINY),
        ("import_packages", lambda engine: None),
        ("Voice", SilentVoice),
        ("OPEN_TIMEOUT_S", 0.5),
    ):
        monkeypatch.setattr(pete_sounds, name, stand_in)
    # pytest's own handlers of signals stay.
    monkeypatch.setattr(pete_sounds.Ending, "on_signals", lambda self: None)
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("picture.png", np.full((48, 64, 3), 128, np.uint8))
    Path("notes.mp4").write_text("Just words.\n" * 50)
    Path("folder").mkdir()
    return asked


def answer_to(arguments: list[str]) -> tuple[int, str, str]:
    """What main() returns and prints."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
    printed = []
    for stream in (out, err):
        stream.flush()
        printed.append(stream.buffer.getvalue().decode())
    return code, printed[0], printed[1]


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(words=st.lists(WORDS, max_size=5), watches=st.booleans())
@example(words=[["--wav", "a\0b"]], watches=True)  # rare, and once a fault
@example(words=[["--model", "a\0b"]], watches=True)
@example(words=[["--model", "https://me:s3cret@host/x"]], watches=True)
def test_any_options_lead_to_a_model_or_to_one_clear_line(
    up_to_the_model: list[str], words: list[list[str]], watches: bool
) -> None:
    arguments = [word for pair in words for word in pair]
    if watches:  # or most would end at a camera that is not there
        arguments = ["--source", "picture.png", *arguments]
    up_to_the_model.clear()
    started = time.monotonic()
    code, out, err = answer_to(arguments)
    assert time.monotonic() - started < 10
    assert "s3cret" not in out + err
    if code == ExitCode.OK:  # --help
        assert out.startswith("usage: ")
        return
    assert out == ""
    lines = err.splitlines()
    assert lines[0].startswith("pete_sounds: ")
    assert lines[0].isprintable()
    if "--debug" in arguments:
        return
    assert len(lines) == 1, err
    if up_to_the_model:
        assert (code, lines[0]) == (ExitCode.MODEL, "pete_sounds: so far, so good")
    else:
        assert code in (ExitCode.USAGE, ExitCode.SOURCE, ExitCode.MODEL), err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--source"], ExitCode.USAGE),
        (["--source", "x" * 100_000], ExitCode.SOURCE),
        (["--source", "\udcff\udcfe.mp4", "--json"], ExitCode.SOURCE),
        (["--wav", "\udcff/\u202e.wav", "--source", "picture.png"], ExitCode.USAGE),
        (["--prompt", "\x1b[2J" * 1000, "--model", "\udcff"], ExitCode.MODEL),
        (["--limit=1", "--limit=2", "--limit=-3"], ExitCode.USAGE),
    ],
    ids=["missing", "huge", "not Unicode", "WAV", "control characters", "repeated"],
)
def test_odd_options_end_the_real_program_with_one_clear_line(
    program: Program, arguments: list[str], code: ExitCode
) -> None:
    cv2.imwrite(str(program.here / "picture.png"), np.full((48, 64, 3), 128, np.uint8))
    result = program(*arguments, timeout=20)
    assert (result.returncode, result.stdout) == (code, ""), result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("pete_sounds: ")
    assert result.stderr[:-1].isprintable()
