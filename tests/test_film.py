"""A film described: cues and sound at their times, files that are valid at any moment.

The program, the speech, the WebVTT parser and the browser are real; where the rules of placing are
tried one by one, the film is a stand-in whose clock the test sets.
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
from contextlib import closing
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import pete_sounds
from pete_sounds import ExitCode, Film, FilmVoice, VoiceSettings, VttFile, WavFile
from support.camera import MjpegCamera
from support.cues import Cue, cues_of
from support.drawn_scenes import Scene, Shape, caption_of, draw
from support.program import Program, wait_until
from support.sound import heard
from support.video import write_video

FPS = 15
WALL = Scene(None, 320, 240)
CIRCLE = replace(WALL, shape=Shape("circle", "red", 0.2, 0.5, 0.17))
SQUARE = replace(WALL, shape=Shape("square", "blue", 0.5, 0.22, 0.17))
STAR = replace(WALL, shape=Shape("star", "yellow", 0.8, 0.78, 0.19))
TRIANGLE = replace(WALL, shape=Shape("triangle", "green", 0.2, 0.2, 0.18))
DARK = pete_sounds.Trouble.COVERED.value  # what Sight says where it gets dark at a stroke
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
    assert described.result.returncode == 0, described.result.stderr
    cues = cues_of(described.folder / "film.vtt")
    truth = [CIRCLE, SQUARE, None, STAR, WALL, TRIANGLE]
    texts = [DARK if scene is None else caption_of(scene) for scene in truth]
    texts.insert(3, pete_sounds.CLEAR_AGAIN)
    assert [cue.text for cue in cues[:7]] == texts
    for cue in cues[:7]:
        if cue.text != pete_sounds.CLEAR_AGAIN:
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
    assert len(parts) == len(cues)  # so no two are spoken at once, nor one behind the other
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
    assert described.mute.returncode == 0, described.mute.stderr
    cues = cues_of(described.folder / "mute.vtt")
    assert [cue.text for cue in cues[:3]] == [caption_of(CIRCLE), caption_of(SQUARE), DARK]
    assert cues[0].end == pytest.approx(60 * len(cues[0].text.split()) / 200, abs=0.01)
    assert "no voice" not in described.mute.stderr


def test_ctrl_c_leaves_what_was_described(program: Program, speech: None) -> None:
    running = program.start("--demo", "--always", "--vtt", "out.vtt", "--wav", "out.wav")
    running.stdout.wait_for("on the right")
    result = running.end(signal.SIGINT)
    assert (result.returncode, "Traceback" in result.stderr) == (0, False)
    cues = cues_of(program.here / "out.vtt")
    assert len(cues) >= 3
    assert len(heard(program.here / "out.wav")) == len(cues)


# --------------------------------------------------------------------------------- reading the film


def test_every_frame_comes_in_turn(tmp_path: Path) -> None:
    shades = range(0, 240, 4)
    images = [np.full((48, 64, 3), shade, np.uint8) for shade in shades]
    path = write_video(tmp_path / "shades.avi", images, 30, "MJPG")
    with closing(Film(str(path))) as film:
        assert film.length == pytest.approx(2.0)
        frames = []
        while not film.ended:
            frames.append(film.newest(0.1))
            assert frames[-1] is not None
            assert film.at == frames[-1].at == frames[-1].taken
        assert film.newest(0.1) is None
        assert film.length == pytest.approx(2.0)
    assert [frame.at for frame in frames if frame] == pytest.approx([n / 30 for n in range(60)])
    assert [frame.image.mean() for frame in frames if frame] == pytest.approx(list(shades), abs=3)


def test_a_film_that_breaks_off_ends_there_and_that_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(1)
    images = (noise.integers(0, 255, (120, 160, 3), np.uint8) for _ in range(100))
    path = write_video(tmp_path / "whole.avi", images, 10, "MJPG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with closing(Film(str(path))) as film:
        while not film.ended:
            film.newest(0.1)
        assert 3 < (film.length or 0) < 6
        film.announced = 10.0  # A cut AVI has lost its index, and so its length.
        pete_sounds.report(film, "film.vtt", 1.0)
    assert "can't be read beyond 0:05 of 0:10" in capsys.readouterr().err


def test_a_picture_is_a_film_without_a_length(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), draw(SQUARE))
    with closing(Film(str(tmp_path / "a.png"))) as film:
        assert film.newest(0.1) is not None
        assert (film.ended, film.length) == (True, None)
        vtt = VttFile(str(tmp_path / "out.vtt"), None)
        voice = FilmVoice(film, vtt, None, VoiceSettings(rate=60), speaks=False)
        voice.say("One two.", 0)
        voice.wait_until_quiet()
    assert cues_of(tmp_path / "out.vtt") == [Cue(0.0, 2.0, "One two.")]


# -------------------------------------------------------------------------------- placing sentences


class Clock:
    """Stand-in for a Film: its time is set by the test. It lasts a minute."""

    def __init__(self) -> None:
        self.at, self.length, self.ended = 0.0, 60.0, False


def placed(tmp_path: Path, said: list[tuple[float, int, str]], **settings: Any) -> list[Cue]:
    """The cues for sentences (second, caption, text) at 60 words a minute, a second a word."""
    film: Any = Clock()
    vtt = VttFile(str(tmp_path / "out.vtt"), None)
    # Slower than the command line allows, so that a word is a second.
    quiet = VoiceSettings(rate=60)
    voice = FilmVoice(film, vtt, None, quiet, speaks=False, **settings)
    for at, caption, text in said:
        film.at = at
        voice.say(text, caption)
    film.at, film.ended = 59.9, True
    voice.wait_until_quiet()
    voice.close()
    vtt.close()
    return cues_of(tmp_path / "out.vtt")


def test_sentences_of_a_caption_follow_one_another(tmp_path: Path) -> None:
    cues = placed(tmp_path, [(1.0, 0, "One two."), (1.0, 0, "Six ten.")])
    assert cues == [Cue(1.0, 3.0, "One two."), Cue(3.25, 5.25, "Six ten.")]


def test_a_second_sentence_gives_way_to_what_is_new(tmp_path: Path) -> None:
    said = [(1.0, 0, "One two."), (1.0, 0, "Six ten."), (4.0, 1, "New.")]
    assert [(cue.start, cue.text) for cue in placed(tmp_path, said)] == [
        (1.0, "One two."), (4.0, "New."),
    ]  # fmt: skip
    # but not when it is over by then
    said[-1] = (5.5, 1, "New.")
    assert [cue.start for cue in placed(tmp_path, said)] == [1.0, 3.25, 5.5]


def test_no_caption_is_wanted_before_the_first_sentence_is_over(tmp_path: Path) -> None:
    for whole, free in ((False, 3.25), (True, 5.5)):
        film: Any = Clock()
        vtt = VttFile(str(tmp_path / "out.vtt"), None)
        settings = VoiceSettings(rate=60)
        voice = FilmVoice(film, vtt, None, settings, speaks=False, whole=whole)
        film.at = 1.0
        voice.say("One two.", 0)
        voice.say("Six ten.", 0)
        film.at = 2.0
        assert voice.quiet_in() == pytest.approx(free - 2.0)


def test_an_announcement_waits_for_its_turn_and_the_old_one_is_dropped(tmp_path: Path) -> None:
    long = "One two three four five six."
    said = [(0.0, 0, long), (1.0, 1, "It is dark."), (5.0, 1, "It is clear.")]
    assert [(cue.start, cue.text) for cue in placed(tmp_path, said)] == [
        (0.0, long), (6.25, "It is clear."),
    ]  # fmt: skip


def test_the_last_sentence_ends_with_the_film(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cues = placed(tmp_path, [(1.0, 0, "One two."), (59.0, 1, "Six ten.")])
    assert cues[-1] == Cue(58.0, 60.0, "Six ten.")
    assert "said 1.0 s early" in capsys.readouterr().err
    long = "One two three four five."
    assert len(placed(tmp_path, [(1.0, 0, "One two."), (59.0, 1, long)])) == 1
    assert f"left out, as the film ends: {long}" in capsys.readouterr().err
    # no room behind the one before
    assert len(placed(tmp_path, [(56.5, 0, "One two."), (59.0, 1, "Six ten.")])) == 1


def test_the_wav_of_a_film_goes_on_in_silence_to_its_end(tmp_path: Path) -> None:
    film: Any = Clock()
    vtt, wav = VttFile(str(tmp_path / "out.vtt"), None), WavFile(str(tmp_path / "out.wav"))
    voice = FilmVoice(film, vtt, wav, VoiceSettings(rate=60), speaks=False)
    voice.say("One two.", 0)
    film.at, film.ended = 59.9, True
    voice.wait_until_quiet()
    voice.close()
    wav.close()
    assert seconds_of(tmp_path / "out.wav") == 60.0


# ---------------------------------------------------------------------------------------- the files


def test_what_a_cue_says_can_not_be_taken_for_markup(tmp_path: Path) -> None:
    vtt = VttFile(str(tmp_path / "out.vtt"), "en")
    vtt.add(3600.0, 3601.5, "<b>Fish & chips</b> --> NOTE")
    vtt.add(360_000.0, 360_001.0, "Much later.")
    vtt.close()
    text = (tmp_path / "out.vtt").read_text()
    assert text.splitlines()[0] == "WEBVTT Kind: descriptions; Language: en"
    assert "&lt;b&gt;Fish &amp; chips&lt;/b&gt; --&gt; NOTE" in text
    assert "01:00:00.000 --> 01:00:01.500" in text
    assert "100:00:00.000 --> 100:00:01.000" in text


def test_what_comes_later_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.vtt"
    vtt = VttFile(str(path), None)
    vtt.add(0.0, 2.0, "One.")
    assert cues_of(path) == [Cue(0.0, 2.0, "One.")]  # valid before it is closed
    vtt.add(2.0, 4.0, "Two.")
    vtt.add(4.5, 6.0, "A longer one, that never comes.")
    vtt.add(3.0, 5.0, "New.")
    vtt.close()
    assert cues_of(path) == [Cue(0.0, 2.0, "One."), Cue(2.0, 3.0, "Two."), Cue(3.0, 5.0, "New.")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_and_a_deleted_folder_are_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    gone = VttFile(str(folder / "out.vtt"), None)
    wav = WavFile(str(folder / "out.wav"))
    os.symlink("/dev/full", tmp_path / "full.vtt")
    full = VttFile(str(tmp_path / "full.vtt"), None)
    shutil.rmtree(folder)
    for second in range(3):
        for vtt in (gone, full):
            vtt.add(second, second + 1, "One.")
        wav.put(second, bytes(100))
    for file in (gone, full, wav):
        file.close()
    told = sorted(line.split("/")[-1] for line in capsys.readouterr().err.splitlines())
    assert told == [
        "full.vtt: No space left on device; the narration goes on without it",
        "out.vtt: No such file or directory; the narration goes on without it",
        "out.wav was moved or deleted; the narration goes on",
    ]


def test_a_wav_ends_where_its_header_can_count_no_further(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WavFile, "LONGEST", 3 * 44100)
    wav = WavFile(str(tmp_path / "out.wav"))
    wav.put(2.0, bytes(44100))
    wav.put(3.5, bytes(44100))
    wav.close()
    assert seconds_of(tmp_path / "out.wav") == 3.0
    assert "File too large" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--vtt", "no/such/folder.vtt"), "--vtt no/such/folder.vtt can't be written: No such"),
        (("--vtt", "."), "--vtt . can't be written: Is a directory"),
        (("--wav", "no/such.wav"), "--wav no/such.wav can't be written: No such"),
        (("--source", "film.mp4", "--vtt", "film.mp4"), "--vtt would overwrite --source"),
        (("--vtt", "a", "--wav", "./a"), "--wav and --vtt are one file"),
        (("--bench", "--vtt", "a"), "--bench has no use for --vtt"),
    ],
)
def test_files_that_can_not_be_meant_are_refused_at_once(
    arguments: tuple[str, ...],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("film.mp4").write_text("a film")
    with pytest.raises(SystemExit) as ended:
        pete_sounds.parse_arguments(list(arguments))
    assert ended.value.code == ExitCode.USAGE
    assert words in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]
    assert Path("film.mp4").read_text() == "a film"


# ------------------------------------------------------------------------------------- live sources


def has_cues(path: Path, count: int) -> bool:
    return path.read_text().count("-->") == count


def test_a_live_narration_that_is_killed_leaves_files_that_can_be_read(
    program: Program, tiny: Path, mjpeg: MjpegCamera, speech: None
) -> None:
    mjpeg.show(draw(CIRCLE))
    watch = ("--source", mjpeg.url, "--model", tiny, "--json")
    loud = program.start(*watch, "--vtt", "loud.vtt", "--wav", "loud.wav")
    mute = program.start(*watch, "--vtt", "mute.vtt", "--mute")
    scenes = [CIRCLE, SQUARE, STAR]
    for scene in scenes:
        mjpeg.show(draw(scene))
        for running in (loud, mute):
            running.stdout.wait_for(caption_of(scene))
    for name, running in (("loud", loud), ("mute", mute)):
        vtt = program.here / f"{name}.vtt"
        assert wait_until(functools.partial(has_cues, vtt, len(scenes)), 20)
        captions = running.end(signal.SIGKILL).stdout.splitlines()
        cues = cues_of(vtt)
        assert [cue.text for cue in cues] == [caption_of(scene) for scene in scenes]
        for cue, caption in zip(cues, captions):
            assert 0 <= cue.start - json.loads(caption)["at"] < 3
    parts = heard(program.here / "loud.wav")
    assert len(parts) >= 2  # the last one's cue is written before its sound
    for cue, (start, _) in zip(cues_of(program.here / "loud.vtt"), parts):
        assert abs(start - cue.start) < 0.05


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
