"""A film described by the program: cues and sound at their times, files valid at any moment.

The program, the speech, the WebVTT parser and the browser are real.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import threading
import wave
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from narrator.errors import ExitCode
from narrator.scene.picture_check import CLEAR_AGAIN, PictureProblem
from support.camera import MjpegCamera
from support.captions import SCENES, caption_of_sent, is_wav
from support.cues import cues_of
from support.drawn_scenes import Scene, Shape, caption_of, draw
from support.program import TINY, Program, ended_well, wait_until
from support.server import ScriptedServer, describe
from support.sound import heard
from support.video import write_video

FPS = 15
WALL = Scene(None, 320, 240)
CIRCLE = replace(WALL, shape=Shape("circle", "red", 0.2, 0.5, 0.17))
SQUARE = replace(WALL, shape=Shape("square", "blue", 0.5, 0.22, 0.17))
STAR = replace(WALL, shape=Shape("star", "yellow", 0.8, 0.78, 0.19))
TRIANGLE = replace(WALL, shape=Shape("triangle", "green", 0.2, 0.2, 0.18))
DARK = PictureProblem.COVERED.value  # what is said where it gets dark at a stroke
# Seconds and scene; None: the lamp is out. Two scenes come and go while a sentence is spoken, and
# the last one is too near to the end for its sentence.
SCRIPT: list[tuple[float, Scene | None]] = [
    (3.0, CIRCLE), (3.0, SQUARE), (3.0, None), (3.6, STAR), (1.2, WALL), (0.4, CIRCLE),
    (0.2, SQUARE), (3.6, TRIANGLE), (1.0, STAR),
]  # fmt: skip
SECONDS = sum(seconds for seconds, _ in SCRIPT)


def seconds_of(path: Path) -> float:
    """The length of a WAV whose header tells no more than there is."""
    with wave.open(str(path)) as file:
        assert path.stat().st_size >= 44 + 2 * file.getnframes()
        return file.getnframes() / file.getframerate()


def pictures() -> Iterator[np.ndarray]:
    """The frames of SCRIPT."""
    for seconds, scene in SCRIPT:
        image = np.full((240, 320, 3), 6, np.uint8) if scene is None else draw(scene)
        yield from [image] * round(seconds * FPS)


def scenes_around(at: float, seconds: float) -> set[str]:
    """The true captions from `at` on for so many seconds."""
    begins, captions = 0.0, set()
    for length, scene in SCRIPT:
        if begins <= at + seconds and begins + length > at:
            captions.add(DARK if scene is None else caption_of(scene))
        begins += length
    return captions


@dataclass
class Described:
    """What became of the film: as narrated, and muted."""

    film: Path
    folder: Path
    result: subprocess.CompletedProcess[str]
    mute: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[Described]:
    """The film of SCRIPT, described with sound and without, both at once."""
    program = Program(tmp_path_factory.mktemp("film") / "program")
    film = write_video(program.here / "film.mp4", pictures(), FPS)
    watch = ("--source", film, "--model", tiny)
    try:
        loud = program.start(*watch, "--json", "--vtt", "film.vtt", "--wav", "film.wav")
        mute = program.start(*watch, "--vtt", "mute.vtt", "--mute")
        yield Described(film, program.here, loud.finished(150), mute.finished(150))
    finally:
        program.close()


# ------------------------------------------------------------------------------------- a whole film


def test_each_cue_is_true_at_its_time(speech: None, described: Described) -> None:
    ended_well(described.result)
    cues = cues_of(described.folder / "film.vtt")
    truth = [CIRCLE, SQUARE, None, STAR, WALL, TRIANGLE]
    texts = [DARK if scene is None else caption_of(scene) for scene in truth]
    texts.insert(3, CLEAR_AGAIN)
    assert [cue.text for cue in cues[:7]] == texts
    for cue in cues[:7]:
        if cue.text != CLEAR_AGAIN:
            assert cue.text in scenes_around(cue.start, 0.0), cue
    assert cues[0].start == 0
    # What is new is told at once: within the half second that the gate and the dark need.
    assert cues[1].start - 3.0 < 0.7
    assert cues[2].start - 6.0 < 0.7
    assert cues[-1].end <= SECONDS


def test_what_does_not_fit_before_the_end_is_told(speech: None, described: Described) -> None:
    told = [line for line in described.result.stderr.splitlines() if "as the film ends" in line]
    cues = cues_of(described.folder / "film.vtt")
    assert len(told) == 1
    assert caption_of(STAR) in told[0]
    if "left out" in told[0]:
        assert cues[-1].text == caption_of(TRIANGLE)
    else:
        assert cues[-1].text == caption_of(STAR)
        assert abs(cues[-1].end - SECONDS) < 0.1


def test_the_wav_is_as_long_as_the_film_and_each_sentence_begins_at_its_cue(
    speech: None, described: Described
) -> None:
    wav = described.folder / "film.wav"
    assert abs(seconds_of(wav) - SECONDS) < 1 / FPS
    cues, parts = cues_of(described.folder / "film.vtt"), heard(wav)
    assert len(parts) == len(cues)  # so no two are spoken at once, nor one right after the other
    for cue, (start, end) in zip(cues, parts):
        assert abs(start - cue.start) < 0.05, cue
        assert end <= cue.end + 0.02, cue
        assert 0.12 < (end - start) / len(cue.text.split()) < 0.5, cue


def test_captions_are_printed_as_ever_with_the_films_times(
    speech: None, described: Described
) -> None:
    captions = [json.loads(line) for line in described.result.stdout.splitlines()]
    cues = {cue.start: cue.text for cue in cues_of(described.folder / "film.vtt")}
    for caption in captions[:-1]:
        assert cues[caption["at"]] == caption["caption"]
        assert (caption["frame_age_s"], caption["spoken"]) == (0, True)
    assert "film.vtt is written: 0:19 of film took" in described.result.stderr


def test_without_a_voice_cues_last_as_long_as_their_words(described: Described) -> None:
    ended_well(described.mute)
    cues = cues_of(described.folder / "mute.vtt")
    assert [cue.text for cue in cues[:3]] == [caption_of(CIRCLE), caption_of(SQUARE), DARK]
    assert cues[0].end == pytest.approx(60 * len(cues[0].text.split()) / 200, abs=0.01)
    assert "no voice" not in described.mute.stderr


def test_ctrl_c_leaves_what_was_described(program: Program, speech: None) -> None:
    running = program.start("--demo", "--always", "--vtt", "out.vtt", "--wav", "out.wav")
    running.stdout.wait_for("", count=3)
    result = running.end(signal.SIGINT)
    ended_well(result)
    is_wav(program.here / "out.wav")
    cues = cues_of(program.here / "out.vtt")
    assert len(cues) >= 2
    assert len(heard(program.here / "out.wav")) == len(cues)
    assert re.search(r"^pete_sounds: out.vtt covers the film up to 0:\d\d$", result.stderr, re.M)


def test_files_that_are_there_stay_so_until_the_model_is_found(program: Program) -> None:
    kept = ("--vtt", "out.vtt", "--wav", "out.wav", "--mute")
    ended_well(program("--demo", "--limit", "2", *kept))
    before = {path: path.read_bytes() for path in program.here.glob("out.*")}
    assert len(before) == 2
    result = program("--source", str(TINY / "demo.mp4"), "--model", "no/such", *kept)
    assert result.returncode == ExitCode.MODEL
    assert {path: path.read_bytes() for path in before} == before
    program("--source", str(TINY / "demo.mp4"), "--model", "no/such", "--vtt", "new.vtt", "--mute")
    assert not (program.here / "new.vtt").exists()


# ------------------------------------------------------------------------------------- live sources


@pytest.mark.parametrize("kind", ["camera", "stream"])
def test_cues_of_a_live_source_are_refused_with_what_to_do(
    program: Program, mjpeg: MjpegCamera, kind: str
) -> None:
    source = "0" if kind == "camera" else mjpeg.url
    result = program("--source", source, "--vtt", "out.vtt", "--mute")
    assert result.returncode == ExitCode.USAGE
    assert re.fullmatch(r"pete_sounds: --vtt is for films; .* --json .*\n", result.stderr)
    assert not (program.here / "out.vtt").exists()


def has_sentences(wav: Path, count: int) -> bool:
    return len(heard(wav)) == count


def test_the_sound_of_a_live_narration_can_be_read_at_any_moment_and_after_a_kill(
    program: Program, mjpeg: MjpegCamera, server: ScriptedServer, speech: None
) -> None:
    server.answer = describe(caption_of_sent)
    mjpeg.show(draw(SCENES[0]))
    watch = ("--source", mjpeg.url, "--engine", server.url, "--mute", "--wav", "out.wav")
    running = program.start(*watch)
    for count, scene in enumerate(SCENES, 1):
        mjpeg.show(draw(scene))
        running.stdout.wait_for(caption_of(scene))
        assert wait_until(functools.partial(has_sentences, program.here / "out.wav", count), 20)
    running.end(signal.SIGKILL)
    assert len(heard(program.here / "out.wav")) == len(SCENES)


# ------------------------------------------------------------------------------------------ slides


@pytest.mark.parametrize("name", ["slides.mp4", "slides.webp"])
@pytest.mark.parametrize("played", [False, True], ids=["described", "played"])
def test_each_slide_is_described(program: Program, tiny: Path, name: str, played: bool) -> None:
    """However few frames a second there are; and played they are seen all the same."""
    scenes, path = [CIRCLE, SQUARE, STAR, TRIANGLE], program.here / name
    if name.endswith(".mp4"):
        write_video(path, map(draw, scenes), 1 / 3)
    else:
        first, *rest = [Image.fromarray(draw(scene)[:, :, ::-1]) for scene in scenes]
        first.save(path, save_all=True, append_images=rest, duration=3000, lossless=True)
    keep = () if played else ("--vtt", "out.vtt")
    result = program("--source", path, "--model", tiny, "--mute", "--json", *keep)
    ended_well(result)
    captions = [json.loads(line) for line in result.stdout.splitlines()]
    assert [caption["caption"] for caption in captions] == [caption_of(scene) for scene in scenes]
    for number, caption in enumerate(captions):
        assert 0 <= caption["at"] - 3 * number <= (2.9 if played else 0.6)


# ----------------------------------------------------------------------------------- on a terminal


def test_the_bar_shares_no_line_with_captions_and_a_limit_ends_the_files(
    program: Program, speech: None
) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        program.command("--demo", "--limit", "4", "--vtt", "out.vtt", "--wav", "out.wav"),
        cwd=program.here,
        env={**program.environment, "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        with contextlib.suppress(OSError):  # Linux's way to tell the end
            while new := os.read(ours, 4096):
                shown += new
        assert process.wait(10) == 0
    finally:
        process.kill()
        os.close(ours)
    text = shown.decode()
    assert re.search(r"\d+ %\|.*\| \d+ of 68 s", text)
    lines = [line for line in text.split("\r\n") if re.search(r"A red|wall|pete_sounds", line)]
    assert len(lines) >= 6
    captions = []
    for line in lines:  # The bar was wiped, from the start of the line, before it was printed.
        after = re.sub(r"^\x1b\[A", "", line.rsplit("\r", 1)[-1])
        if not after.startswith("pete_sounds: "):
            captions.append(after)
    cues = cues_of(program.here / "out.vtt")
    assert captions == [cue.text for cue in cues]
    assert len(cues) == 4
    assert cues[-1].start < seconds_of(program.here / "out.wav") <= cues[-1].end + 0.1


# ------------------------------------------------------------------------------------- in a browser

PAGE = b"""<!doctype html><video muted src="film.webm">
<track kind="descriptions" src="film.vtt" default></video><script>
const video = document.querySelector("video"), track = video.textTracks[0], entered = [];
track.mode = "hidden";
const tell = (name, facts) => fetch(name, {method: "POST", body: JSON.stringify(facts)});
document.querySelector("track").onload = () => {
  for (const cue of track.cues)
    cue.onenter = () => entered.push([cue.text, cue.startTime, video.currentTime]);
  video.playbackRate = 4;
  video.play().catch(error => tell("failed", String(error)));
};
document.querySelector("track").onerror = () => tell("failed", "the track did not load");
video.onerror = () => tell("failed", "the film did not load: " + video.error.message);
video.onended = () => tell("ended", {kind: track.kind, cues: track.cues.length, entered});
</script>"""


class Page:
    """Serves the film, its cues and a page on loopback, and hears what the page tells."""

    def __init__(self, folder: Path) -> None:
        page = self
        self.told: dict[str, Any] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.strip("/")
                kinds = {"film.webm": "video/webm", "film.vtt": "text/vtt"}
                if name and name not in kinds:
                    self.send_error(404)
                    return
                data = (folder / name).read_bytes() if name else PAGE
                self.send_response(200)
                self.send_header("Content-Type", kinds.get(name, "text/html"))
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                page.told[self.path.strip("/")] = json.loads(body)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


def test_a_browser_fires_each_cue(described: Described, tmp_path: Path) -> None:
    browser = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
         if (path := shutil.which(name))), None,
    )  # fmt: skip
    if browser is None:
        pytest.skip("needs Chromium or Chrome (apt-get install chromium)")
    write_video(tmp_path / "film.webm", pictures(), FPS, "VP80")
    shutil.copy(described.folder / "mute.vtt", tmp_path / "film.vtt")
    page = Page(tmp_path)
    process = subprocess.Popen(
        [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio",
         "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required", "--no-first-run",
         f"--user-data-dir={tmp_path / 'profile'}", f"http://127.0.0.1:{page.server.server_port}/"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        wait_until(lambda: page.told, 60)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        page.server.shutdown()
        page.server.server_close()
    assert "failed" not in page.told
    facts = page.told["ended"]
    cues = cues_of(tmp_path / "film.vtt")
    assert (facts["kind"], facts["cues"]) == ("descriptions", len(cues))
    assert [text for text, *_ in facts["entered"]] == [cue.text for cue in cues]
    for _, start, now in facts["entered"]:
        assert 0 <= now - start < 1.5  # at four times the speed
