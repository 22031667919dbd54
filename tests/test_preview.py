"""--preview: what is drawn, at all sizes and in many scripts, and the real window on a display.

The window is tried on Xvfb, a display without a screen; where that is not installed, those tests
are skipped. No Mac's window was ever tried.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import pete_sounds
from pete_sounds import (
    Captions,
    Ended,
    ExitCode,
    Frame,
    Narrator,
    Preview,
    SavedFrames,
    Status,
    Watch,
    draw_preview,
    drawable,
    has_glyph,
    text_width,
    wrapped,
)
from support.camera import MjpegCamera
from support.drawn_scenes import Scene, Shape, draw
from support.program import Program, wait_until

SIZES = {320: 240, 640: 480, 1920: 1080}
RED = Scene(Shape("circle", "red", 0.2, 0.5, 0.17))
BLUE = Scene(Shape("square", "blue", 0.5, 0.22, 0.17))
SHORT = "A red circle on the left."
LONG = "A man in a blue jacket holds a cup of coffee and looks out of the window, again. " * 20
TEXTS = {
    "short": SHORT,
    "long": LONG,
    "word": "https://example.org/" + "averylongword" * 100,
    "scripts": "Café Ångström. Ένας κύκλος. Красный круг. 左边有圆圈。赤い丸です。빨간 원. 😀 ok. "
    * 2,
    "chinese": "左边有一个红色的圆圈、右边有一个蓝色的正方形。" * 40,
}
STATUS = Status("torch on the CPU, bfloat16", 1.24)


def picture(kind: str, width: int) -> np.ndarray:
    """A white, black or busy picture (BGR)."""
    shape = (SIZES[width], width, 3)
    if kind == "busy":
        small = np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8)
        return cv2.resize(small, shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return np.full(shape, {"white": 255, "black": 0}[kind], np.uint8)


def distance(path: Path, image: np.ndarray) -> float:
    """How far a picture's file is from an image, in levels."""
    saved = cv2.imread(str(path))
    assert saved is not None
    return float(np.abs(saved.astype(int) - image).mean())


def frame(scene: Scene = RED) -> Frame:
    """A frame of a drawn scene, taken now."""
    return Frame(draw(scene), time.monotonic(), 0.0)


# ------------------------------------------------------------------------------------ what is drawn


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("width", SIZES)
def test_text_is_readable_on_any_picture_and_inside_its_margins(
    width: int, text: str, tmp_path: Path
) -> None:
    if width == 1920 and text in ("word", "chinese"):
        pytest.skip("as in the two smaller ones")
    on_black = draw_preview(picture("black", width), TEXTS[text], STATUS)
    assert on_black.dtype == np.uint8
    assert on_black.shape == draw_preview(picture("black", width), "", STATUS).shape
    # On black, all that is bright is letters.
    letters = (on_black > 250).all(axis=2)
    rows, columns = np.nonzero(letters)
    margin = width // 40
    assert rows.min() > SIZES[width] / 2  # at least half of the picture is free of text
    assert rows.max() < on_black.shape[0] - margin / 3
    assert margin / 2 < columns.min()
    assert columns.max() < width - margin / 2
    for kind in ("white", "busy"):
        image = picture(kind, width)
        canvas = draw_preview(image, TEXTS[text], STATUS)
        assert canvas[letters].min() > 240
        # Beside each bright pixel there is a dark one, as near as letters are thick.
        near = np.ones((width // 100 + 2,) * 2)
        assert cv2.erode(canvas.max(axis=2), near)[letters].max() < 110
        assert (image == picture(kind, width)).all()  # left as it was
    cv2.imwrite(str(tmp_path / f"{width}-{text}.png"), canvas)


def test_no_word_is_lost_where_there_is_room() -> None:
    for text in (LONG, TEXTS["scripts"]):
        text = drawable(text).strip()
        lines = wrapped(text, 600, 22, 1000)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
        assert all(text_width(line, 22) <= 600 for line in lines)
        assert all(text_width(line, 22) > 300 for line in lines[:-1])
    words = [word for line in wrapped(LONG, 600, 22, 1000) for word in line.split()]
    assert words == LONG.split()  # no word is broken


@pytest.mark.parametrize("text", ["long", "word", "chinese"])
def test_a_caption_that_is_too_long_ends_in_an_ellipsis(text: str) -> None:
    for width in SIZES:
        lines = wrapped(TEXTS[text], width, 20, 3)
        assert len(lines) == 3
        assert lines[-1].endswith("…")
        assert all(0 < text_width(line, 20) <= width for line in lines)
        assert TEXTS[text].replace(" ", "").startswith("".join(lines)[:-1].replace(" ", ""))


def test_a_line_does_not_begin_with_a_full_stop() -> None:
    lines = wrapped(TEXTS["chinese"], 300, 20, 100)
    assert len(lines) > 10
    assert not any(line[0] in "。、" for line in lines)


def test_letters_beyond_ascii_are_drawn_as_themselves() -> None:
    for text in ("Åéïößčđőñ", "ΑβγΔέ", "ЖщъяЁ", "左边红圆", "赤い丸カ", "빨간원", "“”—…½€°"):
        assert drawable(text) == text
        assert all(has_glyph(letter) for letter in text)
        assert len({width_and_ink(letter) for letter in text}) > len(text) // 2


def width_and_ink(letter: str) -> tuple[int, int]:
    """What tells one drawn letter from another, mostly."""
    canvas = np.zeros((40, 60, 3), np.uint8)
    pete_sounds.put_text(canvas, letter, (10, 30), 20, (255, 255, 255))
    return text_width(letter, 20), int(canvas.sum())


def test_what_the_font_lacks_becomes_words_or_a_question_mark() -> None:
    assert drawable("A 😀!") == "A (grinning face) !"
    assert drawable("Fine 👍🏽") == "Fine (thumbs up sign)"
    assert drawable("e\u0301 a\u0308") == "é ä"
    assert drawable("ok \x1b[31m\u202e \ud800 ไ") == "ok [31m ?"


@pytest.mark.parametrize(
    "shape", [(48, 64), (1, 1), (2000, 100), (100, 2000), (2160, 3840), (1920, 1080)]
)
def test_any_size_of_picture_becomes_one_that_fits_a_window(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 128, np.uint8)
    height, width = draw_preview(image, LONG, replace(STATUS, looking=True)).shape[:2]
    assert 320 <= width <= 1920
    assert height <= 1400
    assert image.shape[:2] == shape


def test_each_mark_can_be_seen_and_told_from_the_others() -> None:
    statuses = [
        replace(STATUS, looking=True),
        replace(STATUS, speaking=True),
        replace(STATUS, paused=True),
    ]
    for width in SIZES:
        for kind in ("white", "black", "busy"):
            image = picture(kind, width)
            plain = draw_preview(image, SHORT, STATUS)
            marked = [draw_preview(image, SHORT, status) for status in statuses]
            corner = (slice(0, width // 8), slice(0, width // 2))
            for canvas in marked:
                assert np.abs(canvas[corner].astype(int) - plain[corner]).max() > 100
                assert (canvas[width // 8 :] == plain[width // 8 :]).all()
            assert not (marked[0] == marked[1]).all()
            assert not (marked[1] == marked[2]).all()
    everything = Status("a label", 1.0, True, True, True)
    right = draw_preview(picture("white", 320), SHORT, everything)[:20, 300:]
    assert (right == 255).all()  # all three have room in the narrowest window


def test_the_status_line_tells_engine_and_seconds() -> None:
    image = picture("black", 640)
    bottom = {
        label: draw_preview(image, SHORT, Status(label, seconds))[-40:]
        for label, seconds in (("", None), ("torch", None), ("mlx", 1.2), ("", 1.2))
    }
    assert bottom[""][:, :320].max() < 60
    assert bottom["torch"][:, :320].max() > 250
    assert bottom["torch"][:, 320:].max() < 60
    assert bottom["mlx"][:, 320:].max() > 250


def test_drawing_takes_some_milliseconds() -> None:
    image = picture("busy", 640)
    draw_preview(image, LONG, STATUS)
    took = []
    for _ in range(10):
        started = time.perf_counter()
        draw_preview(image, LONG, STATUS)
        took.append(time.perf_counter() - started)
    assert min(took) < 0.03


# ----------------------------------------------------------------------- what the loop does with it


class Shown(Preview):
    """A preview without a window: keeps what it would show, and presses keys when told to."""

    def __init__(self, speaking: bool = False) -> None:
        super().__init__("an engine", lambda: speaking)
        self.pictures: list[np.ndarray] = []
        self.marks: list[tuple[bool, bool]] = []
        self.keys_at: dict[int, str] = {}
        self.asked = 0

    def _put(self, picture: np.ndarray) -> None:
        self.pictures.append(picture)
        self.marks.append((self.looking, self.paused))

    def pressed(self) -> list[str]:
        self.asked += 1
        return list(self.keys_at.get(self.asked, ""))


class Voice:
    """Stand-in: writes down what it is asked to say."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str, caption: int) -> bool:
        self.said.append(sentence)
        return True

    def quiet_in(self) -> float:
        return 0.0


class Frames:
    """Stand-in: these frames, one after the other, until the end."""

    def __init__(self, *scenes: Scene) -> None:
        self.scenes = list(scenes)

    @property
    def ended(self) -> bool:
        return not self.scenes

    def newest(self, timeout: float) -> Frame:
        return frame(self.scenes.pop(0))

    def glance(self) -> Frame | None:
        return frame(self.scenes[0]) if self.scenes else None

    def news(self) -> list[str]:
        return []


class Engine:
    """Stand-in: says the same of every frame, in three pieces."""

    def describe(self, clip: Sequence[Frame], prompt: str) -> Iterator[str]:
        yield from ("A thing. ", "And", " more.")


class Typed:
    """Stand-in: these lines were typed."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = list(lines)

    def next(self) -> str | None:
        return self.lines.pop(0) if self.lines else None


def watch(
    preview: Shown,
    *scenes: Scene,
    limit: int | None = None,
    folder: str = ".",
    asks: Sequence[str] = (),
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Watch, Voice]:
    voice: Any = Voice()
    engine: Any = Engine()
    frames: Any = Frames(*scenes)
    typed: Any = Typed(asks)
    narrator = Narrator(engine, voice, [Captions(False), preview], "What is there?", clock)
    saved = SavedFrames(folder)
    return Watch(frames, narrator, True, limit, False, preview, saved, typed), voice


def test_the_mark_for_looking_stands_before_the_engine_starts_and_goes_after() -> None:
    preview = Shown()
    loop, _ = watch(preview, RED, RED, limit=2)
    loop.run()
    assert [looking for looking, _ in preview.marks] == [False, True, False, True]
    assert preview.caption == "A thing. And more."


def test_the_marks_for_speaking_and_pause_are_drawn() -> None:
    one = frame()
    preview = Shown(speaking=True)
    preview.show(one)
    expected = draw_preview(one.image, "", Status("an engine", speaking=True))
    assert (preview.pictures[-1] == expected).all()
    preview.paused = True
    preview.show(frame(BLUE))  # The picture stands.
    expected = draw_preview(one.image, "", Status("an engine", speaking=True, paused=True))
    assert (preview.pictures[-1] == expected).all()


def test_keys_are_answered_between_the_pieces_of_a_caption(
    capsys: pytest.CaptureFixture[str],
) -> None:
    preview = Shown()
    preview.keys_at = {4: "q"}  # 1: the frame; 2: before the engine; 3, 4: with two pieces
    loop, voice = watch(preview, RED, RED)
    with pytest.raises(Ended):
        loop.run()
    assert voice.said == []  # What was just asked to end says nothing more.
    assert capsys.readouterr().out == ""


def test_space_pauses_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    preview = Shown()
    preview.keys_at = {1: " ", 10: " "}
    loop, voice = watch(preview, RED, BLUE, limit=2)
    loop.run()
    # The frame at hand is still described; then nothing more until the key comes again.
    assert voice.said.index("Paused.") < voice.said.index("Going on.")
    assert capsys.readouterr().out.count("\n") == 2
    assert any(paused for _, paused in preview.marks)


def test_nothing_is_described_while_paused() -> None:
    preview = Shown()
    loop, voice = watch(preview, RED, RED, RED, limit=3)
    preview.paused = True
    preview.keys_at = {20: "q"}
    with pytest.raises(Ended):
        loop.run()
    assert voice.said == []


def test_a_question_that_is_asked_while_paused_is_told_to_wait_and_answered_then() -> None:
    preview = Shown()
    loop, voice = watch(preview, RED, RED, RED, limit=3, asks=["Who?", "Where?"])
    preview.paused = True
    preview.keys_at = {20: " ", 80: "q"}
    with pytest.raises(Ended):
        loop.run()
    waits = "It is paused. What was asked is answered when it goes on."
    assert voice.said[:2] == [waits, "Going on."]
    assert voice.said.count(waits) == 1
    assert "A thing." in voice.said


def test_r_says_the_last_caption_again() -> None:
    preview = Shown()
    preview.keys_at = {1: "r", 7: "r"}
    loop, voice = watch(preview, RED, RED, limit=2)
    loop.run()
    assert "A thing. And more." in voice.said[2:]
    assert voice.said[0] != "A thing. And more."  # There was none yet.


def test_s_saves_the_frame_and_says_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preview = Shown()
    preview.keys_at = {1: "s"}
    loop, _ = watch(preview, RED, limit=1, folder=str(tmp_path))
    loop.run()
    (path,) = tmp_path.iterdir()
    assert capsys.readouterr().err == f"pete_sounds: saved {path}\n"
    assert distance(path, draw(RED)) < 3


def test_a_frame_of_a_film_is_saved_under_the_time_at_which_it_was_looked_at(
    tmp_path: Path,
) -> None:
    preview = Shown()
    preview.keys_at = {1: "s"}
    # Ten hours into the film, whose frames have the film's clock.
    loop, _ = watch(preview, RED, limit=1, folder=str(tmp_path), clock=lambda: 36000.0)
    preview.frame = Frame(draw(RED), taken=36000.0, at=36000.0)
    preview.show = lambda frame=None: None  # type: ignore[method-assign]
    loop.run()
    (path,) = tmp_path.iterdir()
    saved = datetime.strptime(path.stem, "%Y-%m-%dT%H-%M-%S.%f")
    assert abs((datetime.now() - saved).total_seconds()) < 60


def test_a_film_that_is_over_stays_on_show_until_it_is_closed() -> None:
    preview = Shown()
    preview.keys_at = {30: "q"}
    loop, _ = watch(preview, RED)
    with pytest.raises(Ended):
        loop.run()
    assert preview.asked == 30


def test_nothing_is_drawn_when_nothing_is_new() -> None:
    preview = Shown()
    one = frame()
    for _ in range(50):
        preview.show(one)
    assert len(preview.pictures) == 1
    preview.say("It is dark.")
    preview.show()
    assert len(preview.pictures) == 2
    started = time.monotonic()
    for _ in range(100):  # Frames alone: not more often than an eye needs.
        preview.show(frame())
    drawn = len(preview.pictures) - 2
    assert drawn <= (time.monotonic() - started) * Preview.FRAMES_A_SECOND + 1


# -------------------------------------------------------------------------------- without a display


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has no DISPLAY")
@pytest.mark.parametrize("display", [None, ":4242"])
def test_no_display_is_said_in_one_line(program: Program, display: str | None) -> None:
    if display:
        program.environment["DISPLAY"] = display
    result = program("--demo", "--preview", "--mute")
    assert result.returncode == ExitCode.USAGE
    assert result.stdout == ""
    assert re.fullmatch(r"pete_sounds: --preview .*display.*\n", result.stderr)


# ---------------------------------------------------------------------------------- the real window


class Screen:
    """A display without a screen, with a user at its keys."""

    def __init__(self, name: str) -> None:
        from Xlib.display import Display

        self.name = name
        self._display = Display(name)
        self._root = self._display.screen().root

    def window(self, timeout: float = 60) -> Any:
        """The program's window, once it is there."""
        found = wait_until(lambda: self._find(self._root), timeout)
        assert found, "no window came"
        return found

    def wait_for_picture(self) -> None:
        """Wait until the window is painted. Where no window manager runs, as here, Qt misses now
        and then that its new window can be seen, and paints nothing: hide it and show it then, as
        a user would."""
        window = self.window()
        if not wait_until(lambda: self.shot().any(), 2):
            for change in (window.unmap, window.map):
                change()
                self._display.sync()
                time.sleep(0.1)
        assert wait_until(lambda: self.shot().any(), 2), "the window stays empty"

    def _find(self, parent: Any) -> Any:
        from Xlib.error import BadWindow

        for child in parent.query_tree().children:
            try:
                if str(child.get_wm_name()) == Preview.TITLE:
                    return child
            except BadWindow:
                continue
            found = self._find(child)
            if found:
                return found
        return None

    def press(self, key: str) -> None:
        """Press and release a key in the program's window."""
        from Xlib import XK, X
        from Xlib.ext import xtest

        self.window(1).set_input_focus(X.RevertToParent, X.CurrentTime)
        code = self._display.keysym_to_keycode(XK.string_to_keysym(key))
        xtest.fake_input(self._display, X.KeyPress, code)
        xtest.fake_input(self._display, X.KeyRelease, code)
        self._display.sync()

    def close_window(self) -> None:
        """What the button in a window's frame does."""
        from Xlib import X
        from Xlib.protocol.event import ClientMessage

        kind, what = map(self._display.intern_atom, ("WM_PROTOCOLS", "WM_DELETE_WINDOW"))
        window = self.window(1)
        data = (32, [what, X.CurrentTime, 0, 0, 0])
        window.send_event(ClientMessage(window=window, client_type=kind, data=data))
        self._display.sync()

    def shot(self) -> np.ndarray:
        """The window as it is seen (BGR)."""
        from Xlib import X

        window = self.window(1)
        size = window.get_geometry()
        raw = window.get_image(0, 0, size.width, size.height, X.ZPixmap, 0xFFFFFFFF)
        return np.frombuffer(raw.data, np.uint8).reshape(size.height, size.width, 4)[:, :, :3]


@pytest.fixture
def screen(program: Program) -> Iterator[Screen]:
    """Xvfb, known to the program."""
    if shutil.which("Xvfb") is None:
        pytest.skip("a display without a screen needs Xvfb (Debian's package xvfb)")
    pytest.importorskip("Xlib", reason="keys are pressed through python-xlib")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x900x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as numbers:
            name = f":{numbers.readline().strip()}"
        program.environment["DISPLAY"] = name
        yield Screen(name)
    finally:
        program.close()
        server.send_signal(signal.SIGTERM)
        server.wait(5)


def shows(screen: Screen, scene: Scene) -> bool:
    """True when the picture in the window is this scene."""
    shot = screen.shot()
    expected = draw(scene)
    height, width = expected.shape[:2]
    return bool(np.abs(shot[:height, :width].astype(int) - expected).mean() < 6)


def test_the_window_shows_the_frame_and_obeys_its_keys(
    program: Program, screen: Screen, mjpeg: MjpegCamera, tiny: Path, tmp_path: Path
) -> None:
    mjpeg.show(draw(RED))
    running = program.start("--source", mjpeg.url, "--model", tiny, "--mute", "--preview")
    running.stdout.wait_for("A red circle on the left.")
    screen.wait_for_picture()
    height, width = draw(RED).shape[:2]
    assert wait_until(lambda: (screen.shot()[height:] > 250).sum() > 500, 5)  # caption and status
    shot = screen.shot()
    cv2.imwrite(str(tmp_path / "window.png"), shot)
    assert shows(screen, RED)
    assert shot.shape[1] == width

    screen.press("space")
    running.stderr.wait_for("Paused.", timeout=5)
    mjpeg.show(draw(BLUE))
    before = running.stdout.count()
    time.sleep(1.5)
    assert shows(screen, RED)
    assert running.stdout.count() == before
    screen.press("s")
    name = running.stderr.wait_for("saved ", timeout=5).split()[-1]
    assert distance(program.here / name, draw(RED)) < 6
    screen.press("space")
    running.stderr.wait_for("Going on.", timeout=5)
    running.stdout.wait_for("A blue square at the top.", timeout=20)
    assert wait_until(lambda: shows(screen, BLUE), 5)

    screen.press("Left")  # means nothing
    screen.press("Q")
    result = running.finished(5)
    assert result.returncode == 0
    assert "Traceback" not in result.stderr
    assert "Qt" not in result.stderr
    assert all(line.startswith("pete_sounds: ") for line in result.stderr.splitlines())


def test_a_picture_stays_until_its_window_is_closed(
    program: Program, screen: Screen, tiny: Path
) -> None:
    cv2.imwrite(str(program.here / "picture.png"), draw(BLUE))
    running = program.start("--source", "picture.png", "--model", tiny, "--mute", "--preview")
    running.stdout.wait_for("A blue square at the top.")
    screen.wait_for_picture()
    assert running.process.poll() is None
    assert shows(screen, BLUE)
    screen.close_window()
    result = running.finished(5)
    assert result.returncode == 0
    assert all(line.startswith("pete_sounds: ") for line in result.stderr.splitlines())
