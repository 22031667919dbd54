"""Cameras and voices by name: --list-cameras, --source NAME, --list-voices, --voice LANGUAGE.

FAKES: the machine that runs the tests may have no camera and is no Mac. A folder stands in for
Linux's /sys/class/video4linux, files for its devices, a function for the driver's answer, a script
for macOS's system_profiler, and a class for OpenCV's capture. The voices are the real espeak-ng's.
"""

from __future__ import annotations

import errno
import json
import os
import struct
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import pete_sounds
from pete_sounds import (
    Camera,
    ExitCode,
    SourceError,
    SourceKind,
    Voice,
    VoiceSettings,
    WavFile,
    camera_number,
    find_source,
    find_voice,
    known_cameras,
    language_tag,
    source_kind,
)
from support.program import Program

CAPTURES, METADATA, OUTPUT, MULTIPLANAR = 0x1, 0x00800000, 0x2, 0x1000

# number: (name, capabilities of the device)
DESK = {
    0: ("Integrated Camera: Integrated C", CAPTURES),
    1: ("Integrated Camera: Integrated C", METADATA),
    2: ("HD Pro Webcam C920", CAPTURES),
    3: ("HD Pro Webcam C920", METADATA),
    10: ("Dummy \x1b[31mvideo\n", MULTIPLANAR),
    11: ("Loopback sink", OUTPUT),
}

Plug = Callable[[dict[int, tuple[str, int]]], None]


@pytest.fixture
def plug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plug:
    """FAKE: a Linux machine with these video devices, whose driver answers VIDIOC_QUERYCAP."""
    answers: dict[str, int] = {}

    def ioctl(opened: int, request: int, data: bytes) -> bytes:
        assert (request, len(data)) == (0x80685600, 104)
        capabilities = answers[Path(os.readlink(f"/proc/self/fd/{opened}")).name]
        whole = 0x84A00000 | CAPTURES  # of the whole camera: true of its metadata device, too
        return struct.pack("=16s32s32sIII12x", b"", b"", b"", 6, whole, capabilities)

    def plug(devices: dict[int, tuple[str, int]]) -> None:
        answers.clear()
        for folder in ("sys", "dev"):
            (tmp_path / folder).mkdir(exist_ok=True)
            for old in (tmp_path / folder).iterdir():
                (old / "name").unlink() if old.is_dir() else old.unlink()
                if old.is_dir():
                    old.rmdir()
        for number, (name, capabilities) in devices.items():
            (tmp_path / "sys" / f"video{number}").mkdir()
            (tmp_path / "sys" / f"video{number}" / "name").write_text(f"{name}\n")
            (tmp_path / "dev" / f"video{number}").touch()
            answers[f"video{number}"] = capabilities

    monkeypatch.setattr(pete_sounds, "VIDEO4LINUX", tmp_path / "sys")
    monkeypatch.setattr(pete_sounds, "DEV", tmp_path / "dev")
    monkeypatch.setattr(pete_sounds.fcntl, "ioctl", ioctl)
    monkeypatch.setattr(pete_sounds.sys, "platform", "linux")
    monkeypatch.chdir(tmp_path)
    plug(DESK)
    return plug


class FakeCapture:
    """FAKE: OpenCV's capture of a camera; those in `shows` show a picture of that width."""

    shows: ClassVar[dict[int, int]] = {}
    opened: ClassVar[list[int]] = []

    def __init__(self, number: int) -> None:
        self.number = number
        self.opened.append(number)

    def isOpened(self) -> bool:
        return self.number in self.shows

    def get(self, _: int) -> float:
        return float(self.shows[self.number])

    def read(self) -> tuple[bool, Any]:
        return True, np.full((4, self.shows[self.number], 3), self.number, np.uint8)

    def release(self) -> None:
        pass


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> type[FakeCapture]:
    """FAKE: FakeCapture where OpenCV's would be."""
    FakeCapture.shows, FakeCapture.opened = {0: 640, 2: 1920, 10: 320}, []
    monkeypatch.setattr(pete_sounds.import_cv2(), "VideoCapture", FakeCapture)
    return FakeCapture


# ------------------------------------------------------------------------------ cameras on Linux


def test_devices_that_do_not_capture_are_no_cameras(plug: Plug) -> None:
    assert list(known_cameras()) == [
        Camera(0, "Integrated Camera: Integrated C"),
        Camera(2, "HD Pro Webcam C920"),
        Camera(10, "Dummy [31mvideo"),
    ]


def test_a_camera_that_may_not_be_opened_is_one_and_one_that_is_gone_is_none(
    plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Any, *_: Any) -> int:
        number = errno.EACCES if str(path).endswith("video0") else errno.ENODEV
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pete_sounds.os, "open", refuse)
    assert [camera.number for camera in known_cameras()] == [0]


def test_only_cameras_are_opened_and_listed_with_number_size_and_name(
    plug: Plug, captures: type[FakeCapture], capsys: pytest.CaptureFixture[str]
) -> None:
    pete_sounds.list_cameras()
    out = capsys.readouterr()
    assert out.out.splitlines() == [
        "0  640x640  Integrated Camera: Integrated C",
        "2  1920x1920  HD Pro Webcam C920",
        "10  320x320  Dummy [31mvideo",
    ]
    assert out.err == ""
    assert captures.opened == [0, 2, 10]


def test_a_camera_that_shows_nothing_is_listed_and_its_trouble_told(
    plug: Plug, captures: type[FakeCapture], capsys: pytest.CaptureFixture[str]
) -> None:
    del captures.shows[2]
    pete_sounds.list_cameras()
    out = capsys.readouterr()
    assert "2  no picture  HD Pro Webcam C920" in out.out.splitlines()
    assert "camera 2 shows no picture; another program may be using it" in out.err


def test_where_the_system_tells_of_no_camera_ten_numbers_are_tried(
    plug: Plug, captures: type[FakeCapture], capsys: pytest.CaptureFixture[str]
) -> None:
    plug({})
    pete_sounds.list_cameras()
    assert capsys.readouterr().out.splitlines() == ["0  640x640", "2  1920x1920"]
    assert captures.opened == list(range(10))


# -------------------------------------------------------------------------------- --source NAME


@pytest.mark.parametrize(
    "source", ["C920", "hd pro webcam c920", "HD Pro Webcam C920", "pro webcam"]
)
def test_a_unique_part_of_a_name_in_any_case_is_the_camera(plug: Plug, source: str) -> None:
    found = find_source(source)
    assert source_kind(found) is SourceKind.CAMERA
    assert camera_number(found) == 2


def test_a_whole_name_is_not_ambiguous_even_where_others_contain_it(plug: Plug) -> None:
    plug({0: ("Cam", CAPTURES), 1: ("Cam Two", CAPTURES)})
    assert camera_number(find_source("cam")) == 0
    assert camera_number(find_source("two")) == 1


def test_an_ambiguous_name_is_answered_with_those_that_it_may_be(plug: Plug) -> None:
    plug({0: ("Cam A", CAPTURES), 4: ("Cam B", CAPTURES), 6: ("Other", CAPTURES)})
    with pytest.raises(SourceError) as caught:
        find_source("cam")
    assert "0 (Cam A), 4 (Cam B); give its number" in str(caught.value)
    assert "Other" not in str(caught.value)


def test_two_cameras_of_one_name_are_told_apart_by_number(plug: Plug) -> None:
    plug({0: ("Cam", CAPTURES), 2: ("Cam", CAPTURES)})
    with pytest.raises(SourceError, match=r"0 \(Cam\), 2 \(Cam\); give its number"):
        find_source("Cam")


def test_numbers_urls_paths_and_existing_files_are_never_taken_for_names(
    plug: Plug, tmp_path: Path
) -> None:
    for source in ("2", "http://host/C920", "films/C920", "rtsp://C920"):
        assert find_source(source) == source
    (tmp_path / "C920").write_bytes(b"")
    (tmp_path / "camera:C920").write_bytes(b"")
    assert find_source("C920") == "C920"
    assert source_kind(find_source("camera:C920")) is SourceKind.FILE


def test_what_is_neither_file_nor_camera_is_told_as_both(program: Program) -> None:
    result = program("--source", "Brio", "--mute", "--model", pete_sounds.DEMO)
    assert result.returncode == ExitCode.SOURCE
    assert result.stderr.splitlines() == [
        "pete_sounds: Brio can't be opened: No such file or directory, and no camera has that "
        "name; --list-cameras shows those that are there"
    ]


def test_a_camera_that_comes_back_under_another_number_is_found_by_its_name(
    plug: Plug, captures: type[FakeCapture]
) -> None:
    source = find_source("C920")
    assert pete_sounds.open_live(source)[1][0, 0, 0] == 2
    plug({0: ("Integrated Camera", CAPTURES)})
    with pytest.raises(SourceError, match="camera HD Pro Webcam C920 is not there"):
        pete_sounds.open_live(source)
    plug({0: ("Integrated Camera", CAPTURES), 10: ("HD Pro Webcam C920", CAPTURES)})
    assert pete_sounds.open_live(source)[1][0, 0, 0] == 10


# ------------------------------------------------------------------------------ cameras on a Mac

PROFILER = """#!/bin/sh
[ "$*" = "SPCameraDataType -json" ] || exit 64
cat <<'END'
%s
END
"""
ON_A_MAC = {
    "SPCameraDataType": [
        {
            "_name": "FaceTime HD Camera",
            "spcamera_model-id": "FaceTime HD Camera",
            "spcamera_unique-id": "6C707041-05AC-0010-0008-000000000001",
        },
        {
            "_name": "HD Pro Webcam C920",
            "spcamera_model-id": "UVC Camera VendorID_1133 ProductID_2093",
            "spcamera_unique-id": "0x14200000046d082d",
        },
    ]
}


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """FAKE: a Mac whose system_profiler prints what it is given."""

    def answer(text: str) -> None:
        script = tmp_path / "system_profiler"
        script.write_text(PROFILER % text)
        script.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(pete_sounds.sys, "platform", "darwin")
    return answer


def test_a_macs_cameras_are_numbered_by_their_unique_ids_as_opencv_does(
    mac: Callable[[str], None],
) -> None:
    mac(json.dumps(ON_A_MAC))
    assert list(known_cameras()) == [
        Camera(0, "HD Pro Webcam C920"),
        Camera(1, "FaceTime HD Camera"),
    ]
    assert camera_number(find_source("facetime")) == 1


@pytest.mark.parametrize("answer", ["", "{}", "[]", '{"SPCameraDataType": [{}]}', "null"])
def test_a_mac_that_tells_nothing_has_no_known_cameras(
    mac: Callable[[str], None], answer: str
) -> None:
    mac(answer)
    assert list(known_cameras()) == []


def test_without_system_profiler_there_are_no_known_cameras(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pete_sounds.sys, "platform", "darwin")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list(known_cameras()) == []


# ---------------------------------------------------------------------------------------- voices


@pytest.mark.parametrize(
    ("told", "tag"),
    [
        ("en_US", "en-US"), ("en-gb", "en-GB"), (b"\x05en-gb", "en-GB"), (b"\x02de", "de"),
        ("zh_Hans_CN", "zh-Hans-CN"), ("en-gb-x-rp", "en-GB-x-rp"), ("en-029", "en-029"),
        ("chr-US-Qaaa-x-west", "chr-US-Qaaa-x-west"), ("DE", "de"), (None, "none"), ("", ""),
    ],
)  # fmt: skip
def test_languages_are_written_as_tags(told: Any, tag: str) -> None:
    assert language_tag(told) == tag


class Engine:
    """FAKE: what find_voice asks of pyttsx3's engine: the voice that the system has set."""

    def __init__(self, usual: str) -> None:
        self.usual = usual

    def getProperty(self, _: str) -> str:
        return self.usual


VOICES = [
    ("com.apple.Albert", "Albert", "en-US"),
    ("com.apple.Amelie", "Amélie", "fr-CA"),
    ("com.apple.Anna", "Anna", "de-DE"),
    ("com.apple.Daniel", "Daniel", "en-GB"),
    ("com.apple.Samantha", "Samantha", "en-US"),
    ("com.apple.Thomas", "Thomas", "fr-FR"),
    ("de-DE", "Odd", "it-IT"),
]


@pytest.mark.parametrize(
    ("wanted", "voice"),
    [
        ("COM.APPLE.ANNA", "com.apple.Anna"),  # an ID
        ("de-DE", "de-DE"),  # an ID before a language
        ("amélie", "com.apple.Amelie"),  # a name
        ("en_gb", "com.apple.Daniel"),  # a language
        ("en-US", "com.apple.Samantha"),  # of two the system's own
        ("en", "com.apple.Samantha"),
        ("fr", "com.apple.Thomas"),  # of two the one of France
        ("de", "com.apple.Anna"),
        ("it", "de-DE"),
    ],
)
def test_an_id_goes_before_a_name_before_a_language(wanted: str, voice: str) -> None:
    assert find_voice(wanted, VOICES, Engine("com.apple.Samantha")) == voice


@pytest.mark.parametrize("wanted", ["e", "en-", "en-AU", "Ann", "-", "german"])
def test_what_no_voice_has_is_refused(wanted: str) -> None:
    with pytest.raises(pete_sounds.UsageError, match="--list-voices shows them"):
        find_voice(wanted, VOICES, Engine("com.apple.Samantha"))


def spoken(path: Path, voice: str) -> bytes:
    """The samples of a sentence in this voice."""
    wav = WavFile(str(path))
    speech = Voice(VoiceSettings(voice, rate=450, aloud=False, keep=True), wav)
    try:
        speech.wait_until_ready()
        speech.say("Two small dogs sleep on a red chair.", 0)
        speech.wait_until_quiet()
    finally:
        speech.close()
        wav.close()
    with wave.open(str(path)) as sound:
        return sound.readframes(sound.getnframes())


def test_a_language_sounds_like_its_voice_and_not_like_english(
    tmp_path: Path, speech: None
) -> None:
    by_language = spoken(tmp_path / "by_language.wav", "de")
    assert len(by_language) > 22050
    assert by_language == spoken(tmp_path / "by_name.wav", "German")
    assert by_language != spoken(tmp_path / "english.wav", "en-GB")


def test_voices_are_listed_with_the_tags_of_their_languages(program: Program, speech: None) -> None:
    rows = [line.split("  ") for line in program("--list-voices").stdout.splitlines()]
    assert ["gmw/en", "English (Great Britain)", "en-GB"] in rows
    assert ["gmw/de", "German", "de"] in rows
