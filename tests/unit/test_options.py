"""The command line: what it takes, and what it refuses in one line, before anything is loaded."""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrator.errors import ExitCode
from narrator.options import Options, argument_parser, parse_options
from narrator.settings import CLIP_PROMPT
from support.program import ROOT

pytestmark = pytest.mark.usefixtures("logged_to_stderr")

WRONG = {
    "an unknown option": ["--nosuch"],
    "an abbreviated option": ["--lim", "3"],
    "a source with and without option": ["0", "--source", "0"],
    "a source and the demo's": ["--demo", "film.mp4"],
    "no limit at all": ["--limit", "0"],
    "a rate too quick": ["--rate", "451"],
    "too loud": ["--volume", "1.01"],
    "too many tokens": ["--max-tokens", "4097"],
    "too many frames": ["--frames", "17"],
    "an unknown engine": ["--engine", "steam"],
    "a server without a host": ["--engine", "http://"],
    "bits that do not exist": ["--bits", "5"],
    "nothing to wait for": ["--when", " "],
    "too much to wait for": ["--when", "a" * 201],
    "too many to wait for": ["--when", "a cat"] * 50,
    "a bench of what is waited for": ["--bench", "--when", "a cat"],
    "an empty source": ["--source", ""],
    "a prompt of brackets": ["--prompt", "<>"],
    "two sources": ["--demo", "--source", "video.mp4"],
    "two models": ["--demo", "--model", "smolvlm2-500m"],
    "tiles of a clip": ["--detail", "--frames", "2"],
    "a bench and a check": ["--bench", "--check"],
    "a server for reading": ["--read", "--engine", "http://host"],
    "control characters": ["--limit", "\x1b[31m\n1"],
}
NAMES = [name for action in argument_parser()._actions for name in action.option_strings]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr for a wrong command line."""
    with pytest.raises(SystemExit) as caught:
        parse_options(arguments)
    printed = capsys.readouterr()
    assert (caught.value.code, printed.out) == (ExitCode.USAGE, "")
    assert printed.err.startswith("pete_sounds: ")
    assert printed.err.count("\n") == 1, printed.err
    return printed.err.rstrip("\n")


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG)
def test_a_wrong_command_line_is_answered_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(arguments, capsys)
    assert line.endswith("(--help lists the options)")
    assert line.isprintable()
    assert next(word for word in arguments if word.startswith("--")) in line


@pytest.mark.parametrize("wrong", ["--srouce=0", "-source", "--Source"])
def test_a_mistyped_option_is_answered_with_the_likeliest(
    wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"arguments: {wrong}; did you mean --source? (" in refused([wrong, "0"], capsys)
    assert "did you mean" not in refused(["--nosuch"], capsys)


def test_a_kept_file_never_overwrites_the_source_or_another_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"a film")
    (tmp_path / "link.wav").symlink_to(film)
    for name in ("film.mp4", "link.wav"):
        for option in ("--wav", "--vtt"):
            line = refused(["--source", str(film), option, str(tmp_path / name)], capsys)
            assert "would overwrite --source" in line
    both = str(tmp_path / "new")
    assert "are one file" in refused(["--wav", both, "--vtt", both], capsys)
    assert film.read_bytes() == b"a film"
    assert not Path(both).exists()


WORDS = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from(["0", "1", "80", "-1", "0.5", "nan", "mlx", "=", "-", "--", "x.mp4", "1e9"]),
    st.text(max_size=8),
    st.builds("--{}={}".format, st.sampled_from(["limit", "rate", "mute"]), st.text(max_size=4)),
)


@settings(deadline=None, max_examples=50)
@given(st.lists(WORDS, max_size=6))
def test_any_command_line_is_taken_or_refused_and_nothing_else(arguments: list[str]) -> None:
    out, err = io.StringIO(), io.StringIO()
    options: Options | None = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            options = parse_options(arguments)
        except SystemExit as ended:
            code = ended.code
    if options is not None:
        assert out.getvalue() == err.getvalue() == ""
        assert options.limit is None or options.limit >= 1
        assert 80 <= options.rate <= 450
        assert 0 <= options.volume <= 1
    elif code == ExitCode.OK:
        assert err.getvalue() == ""
        assert out.getvalue().startswith(("usage: pete_sounds.py", "pete_sounds.py 20"))
    else:
        assert (code, out.getvalue()) == (ExitCode.USAGE, "")
        assert err.getvalue().count("\n") == 1


def test_the_version_is_the_newest_date_of_the_changelog(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_options(["--version"])
    assert caught.value.code == ExitCode.OK
    headings = re.findall("^## (.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    dates = [heading for heading in headings if heading != "Unreleased"]
    later = "+" if headings[0] == "Unreleased" else ""
    assert capsys.readouterr().out == f"pete_sounds.py {dates[0]}{later}\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"source": "camera:", "model": "smolvlm2-256m", "engine": "auto", "rate": 200}),
        ([], {"bits": None, "limit": None, "volume": 1.0, "when": (), "mute": False}),
        (["film.mp4", "--mute"], {"source": "film.mp4", "mute": True}),
        (["--limit", "3", "film.mp4", "--mute"], {"source": "film.mp4", "limit": 3}),
        (["--mute", "--", "-x.mp4"], {"source": "-x.mp4"}),
        (["--source=-x.mp4"], {"source": "-x.mp4"}),
        (["--rate", "80", "--volume", "0"], {"rate": 80, "volume": 0.0}),
        (["--rate", "450", "--volume", "1"], {"rate": 450, "volume": 1.0}),
        (["--max-tokens", "4096", "--once"], {"max_tokens": 4096, "limit": 1}),
        (["--engine", "MLX"], {"engine": "mlx"}),
        (["--engine", "HTTP://host:8080/v1"], {"model": None}),
        (["--engine", "http://host", "--model", "x"], {"model": "x"}),
        (["--prompt", "an <image>?"], {"prompt": "an  image ?"}),
        (["--frames", "4", "--prompt", "Who?"], {"prompt": "Who?"}),
        (["--frames", "4"], {"prompt": CLIP_PROMPT}),
        (["--when", "a cat.", "--when", " the <image> is\x1b[2J open. "],
         {"when": ("a cat", "the image is[2J open")}),
    ],
)  # fmt: skip
def test_a_right_command_line_means_what_it_says(
    arguments: list[str], expected: dict[str, object]
) -> None:
    assert expected.items() <= asdict(parse_options(arguments)).items()


def test_the_demo_brings_source_and_model() -> None:
    options = parse_options(["--demo"])
    assert Path(options.source).is_file()
    assert (Path(str(options.model)) / "config.json").is_file()
