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
from support.program import ROOT

pytestmark = pytest.mark.usefixtures("logged_to_stderr")

WRONG = {
    "an unknown option": ["--nosuch"],
    "an abbreviated option": ["--lim", "3"],
    "a word too many": ["camera", "--mute", "film.mp4"],
    "a source with and without option": ["0", "--source", "0"],
    "a source and the demo's": ["--demo", "film.mp4"],
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
    "too many frames": ["--frames", "17"],
    "an unknown engine": ["--engine", "steam"],
    "a server without a host": ["--engine", "http://"],
    "a server with a wrong port": ["--engine", "http://host:x"],
    "bits that do not exist": ["--bits", "5"],
    "nothing to wait for": ["--when", " "],
    "marks to wait for": ["--when", "a cat", "--when", "<.>"],
    "too much to wait for": ["--when", "a" * 201],
    "too many to wait for": ["--when", "a cat"] * 50,
    "a bench of what is waited for": ["--bench", "--when", "a cat"],
    "an empty source": ["--source", ""],
    "a blank prompt": ["--prompt", " \t "],
    "a prompt of brackets": ["--prompt", "<>"],
    "an empty model": ["--model", ""],
    "an empty WAV": ["--wav", ""],
    "an empty voice": ["--voice", ""],
    "a value for a switch": ["--mute=yes"],
    "two sources": ["--demo", "--source", "video.mp4"],
    "two models": ["--demo", "--model", "smolvlm2-500m"],
    "two limits": ["--once", "--limit", "2"],
    "tiles of a clip": ["--detail", "--frames", "2"],
    "a bench of a source": ["--bench", "--source", "1"],
    "a bench and a check": ["--bench", "--check"],
    "a bench of a server": ["--bench", "--engine", "http://host"],
    "bits of a server": ["--bits", "8", "--engine", "http://host"],
    "a demo of a server": ["--demo", "--engine", "http://host"],
    "a model for reading": ["--read", "--model", "smolvlm2-500m"],
    "a server for reading": ["--read", "--engine", "http://host"],
    "a bench of reading": ["--bench", "--read"],
    "a number of 5,000 digits": ["--limit", "9" * 5000],
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
    option = next(word for word in arguments if word.startswith("--"))
    named = "film.mp4" if "camera" in arguments else option.split("=")[0]
    assert named in line


@pytest.mark.parametrize("wrong", ["--srouce", "--srouce=0", "-source", "--Source"])
def test_a_mistyped_option_is_answered_with_the_likeliest(
    wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"arguments: {wrong}; did you mean --source? (" in refused([wrong, "0"], capsys)
    assert "did you mean" not in refused(["--nosuch"], capsys)
    assert "did you mean" not in refused(["--limit", "-1"], capsys)


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


def test_passwords_are_not_repeated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    address = "rtsp://me:s3cret@camera/video?s3cret"
    assert "s3cret" not in refused(["film.mp4", address], capsys)
    assert "s3cret" not in refused([address, "--source", address], capsys)


WORDS = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from(["0", "1", "80", "-1", "0.5", "nan", "mlx", "=", "-", "--", "x.mp4", "1e9"]),
    st.text(max_size=8),
    st.builds("--{}={}".format, st.sampled_from(["limit", "rate", "mute"]), st.text(max_size=4)),
)


@settings(deadline=None)
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


def test_without_options_the_first_camera_and_the_default_model_are_used() -> None:
    options = parse_options([])
    assert (options.source, options.model, options.engine) == ("camera:", "smolvlm2-256m", "auto")
    assert (options.bits, options.limit, options.rate, options.volume) == (None, None, 200, 1.0)
    assert not any(value is True for value in asdict(options).values())


@pytest.mark.parametrize(
    "arguments",
    [
        ["film.mp4"],
        ["--source", "film.mp4"],
        ["film.mp4", "--mute"],
        ["--mute", "film.mp4"],
        ["--limit", "3", "film.mp4", "--mute"],
    ],
)
def test_a_source_is_taken_with_and_without_its_option(arguments: list[str]) -> None:
    assert parse_options(arguments).source == "film.mp4"


def test_a_source_may_begin_with_a_dash_after_two_dashes() -> None:
    assert parse_options(["--mute", "--", "-x.mp4"]).source == "-x.mp4"


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


def test_the_bounds_of_numbers_belong_to_them() -> None:
    for arguments in (
        ["--rate", "80", "--volume", "0", "--max-tokens", "1", "--limit", "1"],
        ["--rate", "450", "--volume", "1", "--max-tokens", "4096", "--limit", "1000000"],
    ):
        options = asdict(parse_options(arguments))
        for name, value in zip(arguments[::2], arguments[1::2]):
            assert options[name[2:].replace("-", "_")] == float(value)


def test_once_is_a_limit_of_one_and_demo_brings_source_and_model() -> None:
    options = parse_options(["--once", "--demo"])
    assert options.limit == 1
    assert Path(options.source).is_file()
    assert (Path(str(options.model)) / "config.json").is_file()


def test_an_engines_name_is_known_whatever_its_case() -> None:
    assert parse_options(["--engine", "MLX"]).engine == "mlx"


def test_a_models_own_marks_in_a_prompt_are_words() -> None:
    assert parse_options(["--prompt", "an <image>?"]).prompt == "an  image ?"


def test_a_server_serves_the_model_that_it_has_unless_one_is_named() -> None:
    assert parse_options(["--engine", "HTTP://host:8080/v1"]).model is None
    assert parse_options(["--engine", "http://host", "--model", "x"]).model == "x"


def test_a_value_may_begin_with_a_dash_after_an_equals_sign() -> None:
    assert parse_options(["--source=-x.mp4"]).source == "-x.mp4"


def test_a_clip_is_asked_about_what_happens() -> None:
    assert "happens" in parse_options(["--frames", "4"]).prompt
    assert parse_options(["--frames", "4", "--prompt", "Who?"]).prompt == "Who?"


def test_options_can_not_be_changed() -> None:
    with pytest.raises(AttributeError):
        parse_options([]).rate = 100  # type: ignore[misc]


def test_what_is_waited_for_is_given_several_times_and_made_clean() -> None:
    options = parse_options(["--when", "a red circle.", "--when", " the <image> is\x1b[2J open. "])
    assert options.when == ("a red circle", "the image is[2J open")
    assert parse_options([]).when == ()
