"""--check over real parts: a camera on loopback, the small model, espeak-ng, ALSA's file device."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from narrator import check
from narrator.check import Check
from narrator.errors import ExitCode
from narrator.options import parse_options
from narrator.process import Shutdown
from narrator.settings import SERVER_KEY
from support.asking import noise
from support.camera import MjpegCamera, as_jpeg
from support.server import SAID, ScriptedServer, describe, json_answer, status
from support.webcam import Webcam

Tried = tuple[ExitCode, list[str]]
Try = Callable[..., Tried]


@pytest.fixture
def shutdown() -> Iterator[Shutdown]:
    made = Shutdown(first=lambda: None)
    yield made
    made.close()


@pytest.fixture
def try_out(shutdown: Shutdown, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Try:
    """Runs --check with these options and an empty cache; its exit code and lines."""

    def try_out(*options: str | Path) -> Tried:
        given = parse_options(["--check", *map(str, options)])
        code = Check(given, shutdown, tmp_path).run()
        return code, capsys.readouterr().out.splitlines()

    return try_out


@pytest.fixture
def watched(mjpeg: MjpegCamera, server: ScriptedServer, try_out: Try) -> Try:
    """Tries the camera on loopback, with a server that says what it is told to."""
    return partial(try_out, "--source", mjpeg.url, "--engine", server.url, "--mute")


def test_where_all_is_well_each_part_says_so_and_nothing_is_written(
    mjpeg: MjpegCamera, server: ScriptedServer, watched: Try, tmp_path: Path
) -> None:
    files = ("--wav", tmp_path / "x.wav", "--vtt", tmp_path / "x.vtt", "--save", tmp_path / "x")
    code, lines = watched(*files)
    assert code == ExitCode.OK
    assert not list(tmp_path.iterdir())
    stream, model, voice, network = lines
    assert stream.startswith("stream: ok: 320 by 240 pixels, bright enough, ")
    assert stream.endswith(" pictures a second")
    ready = r"model: ok: small at .*, ready in \d+\.\d s, a caption in \d+\.\d\d s: "
    assert re.match(ready, model)
    assert model.endswith(f": {SAID}")
    assert voice == "voice: ok: not tried, as --mute is given"
    assert network == f"network: ok: used for {mjpeg.url} and {server.url} alone"


# --------------------------------------------------------------------------------------- the camera


def test_a_dark_camera_is_trouble(mjpeg: MjpegCamera, watched: Try) -> None:
    mjpeg.show(np.zeros((240, 320, 3), np.uint8))
    code, lines = watched()
    assert code == ExitCode.SOURCE
    assert lines[0] == (
        "stream: trouble: It is too dark to see. Switch on a light, or take the cover off the lens."
    )
    assert lines[1].startswith("model: ok: ")


def test_a_camera_that_goes_while_it_is_tried_is_trouble(
    mjpeg: MjpegCamera, watched: Try, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "PICTURE_S", 3.0)
    jpeg, sent = as_jpeg(noise(240, 320)), itertools.count()

    def until_it_goes() -> bytes:
        if next(sent) == 15:
            mjpeg.drop()
        return jpeg

    mjpeg.film(until_it_goes)
    code, lines = watched()
    assert code == ExitCode.SOURCE
    assert lines[0].startswith("stream: trouble: it was opened, but sent no more pictures")


def test_a_picture_is_bright_enough_after_its_only_frame(
    tmp_path: Path, server: ScriptedServer, try_out: Try
) -> None:
    cv2.imwrite(str(tmp_path / "picture.png"), noise(48, 64))
    code, lines = try_out("--source", tmp_path / "picture.png", "--engine", server.url, "--mute")
    assert (code, lines[0]) == (ExitCode.OK, "file: ok: 64 by 48 pixels, bright enough")


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("0 plugged C920", "ok: C920, 1920 by 1080 pixels, bright enough, "),
        ("0 busy C920", "trouble: camera 0 (C920) is in use by another program; close it"),
        ("2 plugged Laptop", "trouble: camera 0 is not connected; --list-cameras lists"),
    ],
)
def test_a_camera_is_told_by_its_name_and_its_trouble_keeps_no_other_part_from_being_tried(
    webcam: Webcam, server: ScriptedServer, try_out: Try, mode: str, told: str
) -> None:
    webcam.show(mode)
    code, lines = try_out("--engine", server.url, "--mute")
    assert code == (ExitCode.OK if told.startswith("ok") else ExitCode.SOURCE)
    assert lines[0].startswith(f"camera: {told}")
    assert lines[1].startswith("model: ok: ")


# ---------------------------------------------------------------------------------------- the model


def test_a_model_that_is_not_on_disk_is_trouble_and_is_not_downloaded(
    demo_clip: Any, tmp_path: Path, try_out: Try
) -> None:
    code, lines = try_out("--source", demo_clip.path, "--model", "smolvlm2-500m", "--mute")
    assert code == ExitCode.MODEL
    assert lines[1].startswith("model: trouble: ")
    assert "is not on this machine; run pete_sounds.py" in lines[1]
    assert not list(tmp_path.iterdir())


def test_a_caption_is_data_and_a_password_is_never_told(
    mjpeg: MjpegCamera, server: ScriptedServer, try_out: Try, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SERVER_KEY, "sk-1234567")
    server.answer = describe(lambda _: "A red\x1b[2J\nstar.")
    code, lines = try_out(
        "--source", mjpeg.url.replace("//", "//me:s3cret@"), "--engine", server.url, "--mute"
    )
    assert code == ExitCode.OK
    assert all(line.isprintable() for line in lines)
    assert lines[1].endswith(": A red[2J star.")
    assert "s3cret" not in " ".join(lines)
    server.answer = status(401, json.dumps({"error": "sk-1234567 is no key"}).encode())
    code, lines = try_out("--source", mjpeg.url, "--engine", server.url, "--mute")
    assert code == ExitCode.ENGINE
    assert "*** is no key" in lines[1]


# ---------------------------------------------------------------------------------------- the voice


@pytest.fixture
def aloud(
    speech: None, demo_clip: Any, server: ScriptedServer, try_out: Try
) -> Callable[..., Tried]:
    """Tries the demo's clip with the server, and the voice."""

    def aloud(*options: str) -> Tried:
        return try_out("--source", demo_clip.path, "--engine", server.url, *options)

    return aloud


def test_a_machine_without_a_sound_device_is_trouble_that_is_told_once(
    aloud: Callable[..., Tried],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "narrator")
    monkeypatch.setenv("ALSA_CONFIG_PATH", "/dev/null")
    code, lines = aloud()
    assert code == ExitCode.ENGINE
    assert lines[2].startswith("voice: trouble: no sound: no sound device was found; ")
    assert lines[2].endswith("is a loudspeaker connected, and chosen in the sound settings?")
    assert lines[3].startswith("network: ok: ")
    assert caplog.messages == ["trying camera, model and voice one after the other; Ctrl-C ends it"]


def test_a_broken_voice_is_trouble(
    aloud: Callable[..., Tried],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """pyttsx3 is a stand-in that fails."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "pyttsx3.py").write_text("import os; os._exit(1)")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    code, lines = aloud()
    assert code == ExitCode.ENGINE
    assert lines[2] == (
        "voice: trouble: no voice: speech failed (it ended unexpectedly); --mute works without it"
    )
    assert lines[3].startswith("network: ok: ")


def test_a_voice_that_does_not_exist_is_a_wrong_option(aloud: Callable[..., Tried]) -> None:
    code, lines = aloud("--voice", "nobody")
    assert code == ExitCode.USAGE
    assert lines[2] == "voice: trouble: there is no voice 'nobody'; --list-voices shows them"


# ----------------------------------------------------------------------------------------- as JSON


def test_with_json_it_is_one_object_and_a_servers_words_are_data(
    mjpeg: MjpegCamera, server: ScriptedServer, try_out: Try, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SERVER_KEY, 'sk-"1234567')
    server.models = json_answer({"data": [{"id": '\x9b2J\u202e sk-"1234567'}]})
    server.answer = describe(lambda _: 'A "red"\x85\x1b[2J star, sk-"1234567.')
    code, [line] = try_out("--source", mjpeg.url, "--engine", server.url, "--mute", "--json")
    assert line.isprintable()
    assert "1234567" not in line
    facts = json.loads(line)
    assert list(facts) == ["ok", "exit_code", "source", "model", "voice", "network"]
    assert (facts["ok"], facts["exit_code"], code) == (True, 0, 0)
    assert facts["source"]["width"] == 320
    assert facts["source"]["pictures_per_s"] > 1
    assert facts["model"]["caption_s"] > 0
    assert facts["model"]["caption"] == 'A "red" [2J star, ***.'
    mjpeg.kill()
    code, [line] = try_out("--source", mjpeg.url, "--engine", server.url, "--mute", "--json")
    facts = json.loads(line)
    assert (facts["ok"], facts["exit_code"], code) == (False, 3, ExitCode.SOURCE)
    assert facts["source"]["ok"] is False
    told = "can't be reached: the connection was refused; is it on"
    assert told in facts["source"]["message"]
    assert "caption" not in facts["model"]  # It was of no picture of the source's.
