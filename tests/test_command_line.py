"""The command line: what it takes, what it refuses and how, before and after anything is loaded."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pete_sounds
from pete_sounds import ExitCode, parse_arguments
from support.program import ROOT, SCRIPT, Program

HEAVY = {"cv2", "numpy", "mlx", "mlx_vlm", "torch", "transformers", "huggingface_hub", "pyttsx3"}


def one_line(result: subprocess.CompletedProcess[str], code: ExitCode) -> str:
    """The one line that a trouble is told in, on stderr and nowhere else."""
    assert result.stdout == ""
    assert result.stderr.startswith("pete_sounds: ")
    assert result.stderr.endswith("\n")
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.returncode == code
    return result.stderr.rstrip("\n")


# ------------------------------------------------------------------------------------ wrong options

WRONG = {
    "an unknown option": ["--nosuch"],
    "an abbreviated option": ["--lim", "3"],
    "a word too many": ["camera"],
    "a limit below one": ["--limit", "-1"],
    "no limit at all": ["--limit", "0"],
    "half a limit": ["--limit", "1.5"],
    "a limit without number": ["--limit"],
    "a rate in words": ["--rate", "fast"],
    "a rate too slow": ["--rate", "79"],
    "a rate too quick": ["--rate", "451"],
    "too loud": ["--volume", "1.01"],
    "less than silent": ["--volume", "-0.1"],
    "no volume": ["--volume", "nan"],
    "no tokens": ["--max-tokens", "0"],
    "too many tokens": ["--max-tokens", "4097"],
    "an unknown engine": ["--engine", "steam"],
    "an empty source": ["--source", ""],
    "a blank prompt": ["--prompt", " \t "],
    "an empty model": ["--model", ""],
    "an empty WAV": ["--wav", ""],
    "an empty voice": ["--voice", ""],
    "a value for a switch": ["--mute=yes"],
    "two sources": ["--demo", "--source", "video.mp4"],
    "two models": ["--demo", "--model", "smolvlm2-500m"],
    "two limits": ["--once", "--limit", "2"],
    "a number of 5,000 digits": ["--limit", "9" * 5000],
    "control characters": ["--limit", "\x1b[31m\n1"],
}


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr for a wrong command line."""
    with pytest.raises(SystemExit) as caught:
        parse_arguments(arguments)
    printed = capsys.readouterr()
    result = subprocess.CompletedProcess(
        arguments, int(str(caught.value)), printed.out, printed.err
    )
    return one_line(result, ExitCode.USAGE)


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG)
def test_a_wrong_command_line_is_answered_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(arguments, capsys)
    assert line.endswith("(--help lists the options)")
    assert line.isprintable()
    option = next((word for word in arguments if word.startswith("--")), "camera")
    assert option.split("=")[0] in line


def test_a_wav_never_overwrites_the_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"a film")
    (tmp_path / "link.wav").symlink_to(film)
    for name in ("film.mp4", "link.wav"):
        line = refused(["--source", str(film), "--wav", str(tmp_path / name)], capsys)
        assert "would overwrite --source" in line
    assert film.read_bytes() == b"a film"


@pytest.mark.parametrize(
    "arguments", [["--nosuch"], ["--limit", "-1"], ["--rate", "fast"], ["--limit", "1\n2"]]
)
def test_the_program_ends_at_once_when_its_command_line_is_wrong(
    program: Program, arguments: list[str]
) -> None:
    one_line(program(*arguments), ExitCode.USAGE)


def test_passwords_are_not_repeated_when_the_option_was_forgotten(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "s3cret" not in refused(["rtsp://me:s3cret@camera/video?s3cret"], capsys)


OPTIONS = [
    option for action in pete_sounds.argument_parser()._actions for option in action.option_strings
]
WORDS = st.one_of(
    st.sampled_from(OPTIONS),
    st.sampled_from(["0", "1", "80", "-1", "0.5", "nan", "mlx", "=", "-", "--", "x.mp4", "1e9"]),
    st.text(max_size=8),
    st.builds("--{}={}".format, st.sampled_from(["limit", "rate", "mute"]), st.text(max_size=4)),
)


@settings(deadline=None)
@given(st.lists(WORDS, max_size=6))
def test_any_command_line_is_taken_or_refused_and_nothing_else(arguments: list[str]) -> None:
    said, complained = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
        try:
            options = parse_arguments(arguments)
        except SystemExit as ended:
            code = ended.code
        else:
            code = None
    if code is None:
        assert isinstance(options, argparse.Namespace)
        assert said.getvalue() == complained.getvalue() == ""
        assert options.limit is None or options.limit >= 1
        assert 80 <= options.rate <= 450
        assert 0 <= options.volume <= 1
    elif code == ExitCode.OK:
        assert complained.getvalue() == ""
        assert said.getvalue().startswith("usage: pete_sounds.py")
    else:
        assert code == ExitCode.USAGE
        assert said.getvalue() == ""
        assert complained.getvalue().count("\n") == 1


# ------------------------------------------------------------------------------------ right options


def test_without_options_the_first_camera_and_the_default_model_are_used() -> None:
    options = vars(parse_arguments([]))
    expected = ("0", "smolvlm2-256m", "auto", None)
    assert tuple(options[name] for name in ("source", "model", "engine", "bits")) == expected
    assert (options["limit"], options["rate"], options["volume"]) == (None, 200, 1.0)
    assert not any(options[name] for name in ("demo", "mute", "json", "always", "once", "debug"))


def test_the_bounds_of_numbers_belong_to_them() -> None:
    for arguments in (
        ["--rate", "80", "--volume", "0", "--max-tokens", "1", "--limit", "1"],
        ["--rate", "450", "--volume", "1", "--max-tokens", "4096", "--limit", "1000000"],
    ):
        options = vars(parse_arguments(arguments))
        for name, value in zip(arguments[::2], arguments[1::2]):
            assert options[name[2:].replace("-", "_")] == float(value)


def test_once_is_a_limit_of_one_and_demo_brings_source_and_model() -> None:
    options = parse_arguments(["--once", "--demo"])
    assert options.limit == 1
    assert Path(options.source).is_file()
    assert (Path(options.model) / "config.json").is_file()


def test_a_value_may_begin_with_a_dash_behind_an_equals_sign() -> None:
    assert parse_arguments(["--source=-x.mp4"]).source == "-x.mp4"


# ------------------------------------------------------------------------------- before the imports


def test_help_lists_every_option_and_imports_nothing_heavy(program: Program) -> None:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", str(SCRIPT), "--help"],
        check=True,
        capture_output=True,
        text=True,
        env=program.environment,
    )
    imported = {line.split("|")[-1].strip().split(".")[0] for line in result.stderr.splitlines()}
    assert "argparse" in imported
    assert not imported & HEAVY
    for option in OPTIONS:
        assert option in result.stdout


def test_the_script_can_be_started_by_its_own_name() -> None:
    result = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("usage: pete_sounds.py")


def test_importing_the_script_imports_nothing_heavy() -> None:
    code = f"import sys, pete_sounds; sys.exit(bool(set(sys.modules) & {HEAVY!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_wrong_option_is_told_before_there_is_an_environment(bare: Program) -> None:
    one_line(bare("--nosuch"), ExitCode.USAGE)


def other_python(version: str) -> str:
    """A Python of that version on this machine, outside any virtual environment."""
    candidates = [shutil.which(f"python{version}") or ""]
    for folder in (Path.home() / ".pyenv/versions", Path.home() / ".local/share/uv/python"):
        candidates += map(str, sorted(folder.glob(f"*{version}.*/bin/python{version}")))
    for candidate in filter(None, candidates):
        if subprocess.run([candidate, "-c", ""], check=False, capture_output=True).returncode == 0:
            return candidate
    pytest.skip(f"there is no Python {version} on this machine")


def test_help_runs_under_the_python_that_older_systems_have(program: Program) -> None:
    program.python = other_python("3.9")
    result = program("--help")
    assert (result.returncode, result.stderr) == (0, "")
    for option in OPTIONS:
        assert option in result.stdout
    one_line(program("--limit", "0"), ExitCode.USAGE)


# --------------------------------------------------------------------------- without an environment


@pytest.fixture
def bare(program: Program) -> Program:
    """The script alone in a folder, run by a Python that is not .venv's."""
    program.script = Path(shutil.copy(SCRIPT, program.folder))
    program.python = os.path.realpath(sys.executable)
    return program


def venv_python(script: Path, content: str) -> None:
    """Put this shell script where .venv has its Python."""
    python = script.parent / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(content)
    python.chmod(0o755)


@pytest.mark.parametrize("arguments", [[], ["--demo"], ["--list-voices"], ["--list-cameras"]])
def test_without_an_environment_it_says_how_to_make_one(
    bare: Program, arguments: list[str]
) -> None:
    assert "run ./install.sh first" in one_line(bare(*arguments), ExitCode.ENGINE)


def test_an_environment_that_does_not_start_is_told(bare: Program) -> None:
    venv_python(bare.script, "#!/no/such/interpreter\n")
    assert "run ./install.sh again" in one_line(bare(), ExitCode.ENGINE)


def test_it_goes_on_under_its_environment_with_the_same_options(bare: Program) -> None:
    venv_python(bare.script, '#!/bin/sh\nprintf "%s\\n" "$@"\n')
    result = bare("--prompt", "two words", "--source=-x.mp4")
    assert result.stdout.splitlines() == [
        str(bare.script),
        "--prompt",
        "two words",
        "--source=-x.mp4",
    ]


def test_a_broken_environment_is_told_and_not_tried_for_ever(bare: Program) -> None:
    """What an installer that was killed at a bad moment leaves: a Python, but not .venv's own."""
    venv_python(bare.script, f'#!/bin/sh\nexec "{bare.python}" "$@"\n')
    assert "run ./install.sh again" in one_line(bare(timeout=5), ExitCode.ENGINE)


def test_an_environment_without_its_packages_is_told(bare: Program) -> None:
    subprocess.run(
        [bare.python, "-m", "venv", "--without-pip", str(bare.script.parent / ".venv")], check=True
    )
    (bare.here / "video.mp4").write_bytes(b"x")
    line = one_line(bare("--source", "video.mp4"), ExitCode.ENGINE)
    assert "run ./install.sh again" in line


# --------------------------------------------------------------- faults of the source and the model


def folder_of(path: Path, **files: str) -> Path:
    """A folder with these files; an underscore in a name stands for a dot."""
    path.mkdir()
    for name, content in files.items():
        (path / name.replace("_", ".")).write_text(content)
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture that is fine."""
    path = tmp_path / "grey.png"
    cv2.imwrite(str(path), np.full((48, 64, 3), 128, np.uint8))
    return path


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("99", "camera 99 is not there"),
        ("nosuch.mp4", "nosuch.mp4 can't be opened: No such file or directory"),
        ("notes.txt", "notes.txt is not a picture or video"),
        ("notes.mp4", "notes.mp4 is not a picture or video"),
        (".", "is a folder; give a video or a picture"),
        ("http://127.0.0.1:9/", "shows no picture; is it on, and is the address right?"),
        ("gopher://hole", "only http, https and rtsp streams can be watched"),
    ],
)
def test_a_source_that_shows_nothing_is_told_in_one_line(
    program: Program, source: str, told: str
) -> None:
    for name in ("notes.txt", "notes.mp4"):
        (program.here / name).write_text("Just words.\n" * 50)
    assert told in one_line(program("--source", source), ExitCode.SOURCE)


def test_no_camera_is_told_in_one_line(program: Program) -> None:
    if any(Path("/dev").glob("video*")) or sys.platform == "darwin":
        pytest.skip("there may be a camera here")
    assert "camera 0 is not there" in one_line(program(), ExitCode.SOURCE)
    assert "no camera found" in one_line(program("--list-cameras"), ExitCode.SOURCE)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("nosuch", "is none of --list-models, no folder, and no Hub repository"),
        ("./nosuch", "no folder"),
        ("~nosuchuser/model", "no folder"),
        ("n" * 300, "no folder"),
        ("empty", "is no model folder: it needs a config.json"),
        ("unnamed", "is no model folder: it needs a config.json that names its model_type"),
        ("not JSON", "is no model folder"),
        ("weightless", "a smolvlm model without weights; it needs *.safetensors files"),
        ("zero", "without weights"),
    ],
)
def test_a_model_that_is_none_is_told_in_one_line(
    program: Program, picture: Path, model: str, told: str
) -> None:
    named = json.dumps({"model_type": "smolvlm"})
    folder_of(program.here / "empty")
    folder_of(program.here / "unnamed", config_json="{}", model_safetensors="x")
    folder_of(program.here / "not JSON", config_json="smolvlm", model_safetensors="x")
    folder_of(program.here / "weightless", config_json=named)
    folder_of(program.here / "zero", config_json=named, model_safetensors="")
    result = program("--source", picture, "--model", model, "--mute")
    assert told in one_line(result, ExitCode.MODEL)


def test_a_model_that_can_not_be_fetched_is_told_with_a_way_out(
    program: Program, picture: Path
) -> None:
    result = program("--source", picture, "--model", "nosuch/model", "--mute")
    line = one_line(result, ExitCode.MODEL)
    assert "nosuch/model is not on this machine and the Hub can't be reached" in line
    assert "--demo works without it, the next start tries again" in line


def test_weights_that_are_none_are_told(program: Program, picture: Path, tiny: Path) -> None:
    broken = program.here / "broken"
    shutil.copytree(tiny, broken, ignore=shutil.ignore_patterns("*.mp4"))
    (broken / "model.safetensors").write_bytes(b"no weights at all")
    result = program("--source", picture, "--model", broken, "--mute")
    assert result.returncode == ExitCode.MODEL
    assert "weights of broken can't be read" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_debug_shows_where_a_trouble_arose_and_without_it_nothing_does(program: Program) -> None:
    result = program("--source", "nosuch.mp4", "--debug")
    assert result.returncode == ExitCode.SOURCE
    assert result.stderr.startswith("pete_sounds: nosuch.mp4 can't be opened")
    assert "Traceback (most recent call last)" in result.stderr
    assert "FileNotFoundError" in result.stderr
    one_line(program("--source", "nosuch.mp4"), ExitCode.SOURCE)


@pytest.mark.parametrize("target", ["no/such/folder/out.wav", "."])
def test_a_wav_that_can_not_be_written_is_told(program: Program, target: str) -> None:
    result = program("--demo", "--wav", target, "--mute")
    assert f"--wav {target} can't be written" in result.stderr.splitlines()[-1]
    assert (result.returncode, result.stdout) == (ExitCode.USAGE, "")


def test_help_that_nobody_reads_ends_quietly(program: Program) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        result = subprocess.run(
            program.command("--help"),
            check=False,
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            env=program.environment,
        )
    assert (result.returncode, result.stderr) == (0, "")
