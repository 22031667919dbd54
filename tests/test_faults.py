"""What can go wrong, and where it is shown that it does no harm: a list, and the tests it lacked.

Each line of FAULTS is a promise of the program and the tests that hold it to that. Longer than a
test may take are tools/soak.py and the tools/measure_*.py, which print figures.
"""

from __future__ import annotations

import ast
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pete_sounds
from pete_sounds import ExitCode, Voice, VoiceSettings, WavFile
from support.broken_files import answer_to, broken_files
from support.camera import MjpegCamera
from support.drawn_scenes import Scene, Shape, draw
from support.program import (
    Program,
    Running,
    children,
    process_table,
    wait_until,
)

FAULTS = {
    # -- now, never a backlog
    "a live source keeps its newest frame only": [
        "test_frames.py::test_a_slow_reader_of_a_stream_sees_what_is_there_now",
        "test_frames.py::test_a_slow_reader_of_a_stream_gets_fresh_frames",
        "test_frames.py::test_a_backlog_that_comes_at_once_is_not_shown",
    ],
    "the next caption is ready when the voice falls silent, and none is made to be thrown away": [
        "test_narrator.py::test_no_caption_is_made_while_the_voice_speaks",
        "test_narrator.py::"
        "test_the_next_caption_starts_so_early_that_it_is_ready_when_the_voice_falls_silent",
        "test_voice.py::test_it_reckons_how_long_it_will_speak_and_learns_its_own_pace",
    ],
    "frame_age_s is true": [
        "test_narrator.py::test_a_caption_as_json_tells_its_times_truly",
        "test_program.py::test_the_times_of_captions_are_those_of_their_frames",
    ],
    # -- the scene gate
    "nothing is said while nothing changes, whatever light, sensor and codec do": [
        "test_scene_gate.py::test_the_first_frame_is_described_and_a_still_noisy_scene_never_again",
        "test_scene_gate.py::test_light_that_drifts_slowly_is_no_news",
        "test_scene_gate.py::test_light_that_flickers_is_no_news",
        "test_scene_gate.py::test_what_a_camera_does_by_itself_is_no_news",
    ],
    "what comes, goes or moves is described soon, then not again": [
        "test_scene_gate.py::test_an_object_of_two_per_cent_is_described_once_within_half_a_second",
        "test_scene_gate.py::test_whatever_comes_goes_or_moves_is_described_within_half_a_second",
    ],
    "a look at a frame is cheap, and --always switches the gate off": [
        "test_scene_gate.py::test_a_look_at_a_frame_is_cheap",
        "test_scene_gate.py::test_always_lets_everything_through",
        "test_program.py::test_a_still_scene_is_described_once_or_always_where_asked",
    ],
    # -- readable or not
    "a picture that shows nothing is told once, and so is its end": [
        "test_sight.py::test_darkness_is_told_once_and_its_end_too",
        "test_sight.py::test_a_hand_over_the_lens_covers_it",
        "test_sight.py::test_a_picture_that_is_blown_out_is_told",
        "test_sight.py::test_a_picture_badly_out_of_focus_is_told",
        "test_frames.py::test_a_noisy_camera_that_sends_the_same_bytes_over_and_over_is_reopened",
    ],
    # -- no repeats
    "what was just said is printed but not spoken again, unless long ago": [
        "test_narrator.py::test_what_the_last_caption_said_is_printed_but_not_spoken_again",
        "test_narrator.py::test_after_a_long_silence_it_is_spoken_again",
    ],
    # -- camera faults
    "a camera that is absent, busy or not allowed is told, with what to do": [
        "test_frames.py::test_why_a_camera_shows_nothing_is_told_as_far_as_linux_knows",
        "test_frames.py::test_on_a_mac_it_is_told_where_to_allow_the_camera",
        "test_command_line.py::test_no_camera_is_told_in_one_line",
    ],
    "a stream that ends, stalls or sends garbage is told once each way and watched again": [
        "test_frames.py::test_a_stream_that_is_lost_is_told_once_and_watched_again_once_it_is_back",
        "test_frames.py::test_a_stream_that_flaps_is_told_once",
        "test_frames.py::test_a_stream_that_stays_away_is_tried_less_and_less_often",
        "test_program.py::test_a_stream_is_narrated_and_again_when_it_was_lost",
        "test_narrator.py::test_news_of_the_source_is_told_and_spoken",
    ],
    "a stream may change its size": [
        "test_frames.py::test_a_stream_of_any_shape_keeps_it_when_it_changes",
    ],
    "a driver that hangs is given up": [
        "test_frames.py::test_reads_that_hang_in_the_driver_are_given_up_but_not_without_end",
        "test_frames.py::test_a_reader_that_dies_is_replaced",
    ],
    "a file of any bytes is frames or one clear line": [
        "test_frames.py::test_random_bytes_are_frames_or_a_complaint",
        "test_frames.py::test_damaged_files_are_frames_or_a_complaint",
        "test_faults.py::test_broken_files_of_each_kind_are_shown_or_refused",
        "test_frames.py::test_a_file_that_shows_nothing_is_refused",
        "test_command_line.py::test_a_source_that_shows_nothing_is_told_in_one_line",
    ],
    # -- engine and speech
    "an exception costs its frame, several in a row the program": [
        "test_narrator.py::test_a_fault_costs_its_frame_and_is_told",
        "test_narrator.py::test_faults_in_a_row_end_the_program_as_the_engines_fault",
    ],
    "a text that runs away is cut at a sentence": [
        "test_text.py::test_pieces_become_sentences",
        "test_narrator.py::test_a_model_that_goes_round_in_circles_is_stopped",
    ],
    "speech that dies or hangs is replaced, and what it was saying dropped": [
        "test_voice.py::test_a_child_that_is_killed_is_replaced_and_what_it_said_is_dropped",
        "test_voice.py::test_a_child_that_hangs_is_replaced",
        "test_faults.py::test_a_voice_that_is_killed_again_and_again_goes_on_and_leaves_nothing",
    ],
    "a voice given up is tried again, and that it is gone and back is told once each": [
        "test_faults.py::test_a_voice_that_was_given_up_comes_back",
        "test_voice.py::test_a_child_that_never_lives_is_given_up_with_one_last_line",
    ],
    "a sound card that is not there is told once, and so is its return": [
        "test_voice.py::test_a_missing_sound_card_is_told_once_and_so_is_its_return",
    ],
    # -- endings
    "signals, terminals and q end it within two seconds, and nothing is left": [
        "test_program.py::test_a_signal_ends_it_soon_and_leaves_nothing_behind",
        "test_program.py::test_a_terminal_ends_it",
        "test_program.py::test_on_a_terminal_q_and_enter_end_it",
        "test_program.py::test_an_end_does_not_depend_on_what_the_main_thread_does",
        "test_faults.py::test_a_signal_ends_the_start_up_quietly",
        "test_faults.py::test_listing_and_measuring_end_when_asked",
    ],
    "a closed stdout ends it quietly": [
        "test_program.py::test_a_reader_that_has_enough_ends_it_quietly",
        "test_program.py::test_a_reader_that_goes_away_while_nothing_changes_ends_it_too",
    ],
    "when it is killed, its voice goes too": [
        "test_program.py::test_when_it_is_killed_its_voice_falls_silent",
    ],
    # -- files
    "a full disk is told once, and what was written stays readable": [
        "test_program.py::test_a_full_disk_is_told_for_a_wav_and_ends_it_for_captions",
        "test_faults.py::test_a_wav_on_a_disk_that_fills_up_keeps_its_whole_sentences",
    ],
    "a WAV whose folder is gone is told once": [
        "test_faults.py::test_a_wav_that_is_deleted_while_it_grows_is_told_once",
    ],
    "no room for temporary files costs the voice and nothing else": [
        "test_faults.py::test_without_room_to_render_that_is_told_once_and_so_is_its_end",
        "test_faults.py::test_a_temporary_folder_that_is_not_there_is_done_without",
        "test_faults.py::test_without_any_temporary_folder_that_is_told",
    ],
    "a cache that can't be written is told": [
        "test_weights.py::test_a_cache_that_cannot_be_written_is_told_in_one_line",
    ],
    # -- privacy and safety
    "with the model on disk nothing connects to anything": [
        "test_privacy.py::test_no_socket_is_connected_with_the_model_on_disk",
        "test_weights.py::"
        "test_a_repository_is_fetched_once_quantised_and_found_again_without_the_network",
    ],
    "no code, no pickles, and no weights other than the listed ones": [
        "test_weights.py::test_code_and_pickles_are_never_fetched",
        "test_weights.py::"
        "test_weights_that_differ_from_the_hubs_list_are_refused_then_fetched_anew",
        "test_weights.py::test_weights_that_changed_on_disk_are_refused_deleted_and_had_anew",
    ],
    "passwords in addresses are not repeated": [
        "test_frames.py::test_no_secret_of_an_address_is_printed",
        "test_frames.py::test_nothing_of_an_address_is_told_when_a_stream_is_lost",
        "test_privacy.py::test_a_password_is_in_nothing_that_is_printed_with_debug_either",
    ],
    "captions steer neither the terminal nor the speech engine": [
        "test_text.py::test_printable_text_cannot_steer_a_terminal",
        "test_text.py::test_speakable_text_carries_no_command_for_a_speech_engine",
        "test_program.py::test_what_a_model_says_can_not_steer_a_terminal",
        "test_voice.py::test_commands_for_the_speech_engine_are_not_obeyed_nor_said",
    ],
    # -- command lines
    "any command line is taken or refused in one line": [
        "test_command_line.py::test_any_command_line_is_taken_or_refused_and_nothing_else",
        "test_arguments.py::test_any_options_lead_to_a_model_or_to_one_clear_line",
        "test_arguments.py::test_odd_options_end_the_real_program_with_one_clear_line",
    ],
}


@pytest.mark.parametrize("promise", FAULTS)
def test_each_promise_names_tests_that_exist(promise: str) -> None:
    assert FAULTS[promise]
    for name in FAULTS[promise]:
        file, _, test = name.partition("::")
        tree = ast.parse((Path(__file__).parent / file).read_text("utf-8"))
        found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert test in found, name


# ------------------------------------------------------------------------------------ the voice

SHORT = "A red star."


@pytest.fixture
def wav(tmp_path: Path) -> Iterator[WavFile]:
    with contextlib.closing(WavFile(str(tmp_path / "out.wav"))) as wav:
        yield wav


@pytest.fixture
def open_voice(speech: None, wav: WavFile) -> Iterator[Callable[[], Voice]]:
    """Opens a voice that renders into `wav` and plays nothing."""
    with contextlib.ExitStack() as opened:
        yield lambda: opened.enter_context(
            contextlib.closing(Voice(VoiceSettings(rate=450, aloud=False, keep=True), wav))
        )


def said(voice: Voice, wav: WavFile) -> int:
    """Say a sentence to its end; how many samples of it are in the WAV."""
    before = wav._wav.getnframes()
    assert voice.say(SHORT, 0)
    voice.wait_until_quiet()
    return int(wav._wav.getnframes() - before)


def test_a_voice_that_is_killed_again_and_again_goes_on_and_leaves_nothing(
    open_voice: Callable[[], Voice], wav: WavFile, capsys: pytest.CaptureFixture[str]
) -> None:
    """As often in a row as would end it, were nothing said in between."""
    voice = open_voice()
    voice.wait_until_ready()
    descriptors = len(os.listdir("/dev/fd"))
    for _ in range(Voice.DEATHS_IN_A_ROW + 1):
        assert said(voice, wav) > 2205
        child = voice._child
        (Path(voice._folder) / f"{child.pid}-99.wav").write_bytes(b"half a sentence")
        os.kill(child.pid, signal.SIGKILL)
        assert wait_until(lambda child=child: voice._child is not child, 10)  # type: ignore[misc]
    assert said(voice, wav) > 2205
    assert len(os.listdir("/dev/fd")) == descriptors
    assert children(os.getpid()) >= {voice._child.pid}
    assert list(Path(voice._folder).iterdir()) == []
    told = "pete_sounds: speech ended by itself; it is started again"
    assert capsys.readouterr().err.splitlines() == [told] * (Voice.DEATHS_IN_A_ROW + 1)


def test_a_voice_that_was_given_up_comes_back(
    open_voice: Callable[[], Voice],
    wav: WavFile,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Voice, "REST_S", (0.1, 0.2))
    monkeypatch.setattr(pete_sounds, "speech_command", lambda: ["false"])
    voice = open_voice()
    voice.wait_until_ready()
    assert voice.say(SHORT, 0) is False
    assert not voice.busy
    assert wait_until(lambda: voice._rests >= 4, 20)
    monkeypatch.undo()
    assert wait_until(lambda: voice._ready, 20)
    assert said(voice, wav) > 2205
    again, *others = list(dict.fromkeys(lines := capsys.readouterr().err.splitlines()))
    assert again == "pete_sounds: speech ended by itself; it is started again"
    assert others == [
        "pete_sounds: no voice: speech ended by itself 3 times; the captions go on as text",
        "pete_sounds: the voice is back",
    ]
    assert len(lines) == len(others) + 2


# ----------------------------------------------------------------------------------------- files


def test_broken_files_of_each_kind_are_shown_or_refused(tmp_path: Path) -> None:
    """Random, cut off, damaged and mislabelled; measure_frames.py takes 200 of them."""
    answers = {path.name: answer_to(path) for path in broken_files(tmp_path, 60)}
    assert set(answers.values()) == {"refused", "shown to its end"}, answers


def spoken(path: Path, seconds: float) -> Path:
    """A WAV as speech leaves it."""
    with wave.open(str(path), "wb") as file:
        file.setparams(pete_sounds.WAV_FORMAT)
        file.writeframes(b"\1\2" * int(22050 * seconds))
    return path


def test_a_wav_on_a_disk_that_fills_up_keeps_its_whole_sentences(
    wav: WavFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit to the size of files stands for the disk: it breaks off in the middle too."""
    sentence = spoken(tmp_path / "sentence.wav", 1.0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, limits[1]))
    try:
        for _ in range(4):
            wav.keep("", sentence)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    wav.keep("", sentence)  # There is room again, but a hole in a narration would tell lies.
    wav.close()
    with wave.open(str(tmp_path / "out.wav")) as file:
        assert file.getnframes() == int(22050 * 2.25)
        assert (tmp_path / "out.wav").stat().st_size == 44 + 2 * file.getnframes()
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].endswith("out.wav: File too large; the narration goes on without it")


def test_a_wav_that_is_deleted_while_it_grows_is_told_once(
    wav: WavFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = spoken(tmp_path / "sentence.wav", 0.1)
    wav.keep("", sentence)
    assert capsys.readouterr().err == ""
    (tmp_path / "out.wav").unlink()
    for _ in range(3):
        wav.keep("", sentence)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].endswith("out.wav was moved or deleted; the narration goes on")


@pytest.fixture
def own_mounts() -> str:
    """The start of a shell line in which mounts can be made that nobody else sees."""
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", tempfile.gettempdir()]
    if shutil.which("unshare") is None or subprocess.run(command, check=False).returncode:
        pytest.skip("needs Linux's unshare, and leave to use it")
    return "exec unshare -rm sh -c"


SCENES = [Scene(Shape("circle", "red", 0.2 + 0.2 * i, 0.5, 0.17)) for i in range(4)]


def test_without_room_to_render_that_is_told_once_and_so_is_its_end(
    program: Program, tiny: Path, mjpeg: MjpegCamera, speech: None, own_mounts: str
) -> None:
    shell = (
        f"{own_mounts} 'mount -t tmpfs -o size=200k none $TMPDIR; "
        "(until [ -e room ]; do sleep 0.1; done; mount -o remount,size=20m $TMPDIR) & "
        'exec "$@"\' sh "$@"'
    )
    mjpeg.show(draw(SCENES[0]))
    arguments = ("--source", mjpeg.url, "--model", tiny, "--mute", "--wav", "out.wav")
    running = program.start(*arguments, shell=shell)
    running.stderr.wait_for("no sound: there is no room left in ")
    for count, scene in enumerate(SCENES[:3], start=1):
        mjpeg.show(draw(scene))
        running.stdout.wait_for("", count)
    (program.here / "room").touch()
    time.sleep(0.3)
    mjpeg.show(draw(SCENES[3]))
    running.stderr.wait_for("pete_sounds: the sound is back")
    result = running.end(signal.SIGTERM)
    assert result.returncode == 0
    assert len(result.stderr.splitlines()) == 4, result.stderr
    with wave.open(str(program.here / "out.wav")) as file:
        assert file.getnframes() > 2205


def test_without_any_temporary_folder_that_is_told(program: Program, own_mounts: str) -> None:
    """Neither torch nor the voice can do without; one that TMPDIR names may be missing."""
    folders = {tempfile.gettempdir(), "/tmp", "/var/tmp", "/usr/tmp"}
    mounts = "".join(
        f"mount --rbind {folder} {folder} && mount -o remount,bind,ro {folder} || exit; "
        for folder in sorted(folders)
        if Path(folder).is_dir()
    )
    shell = f'{own_mounts} \'{mounts} exec "$@"\' sh "$@"'
    result = program.start("--demo", "--limit", "2", shell=shell).finished()
    assert (result.returncode, result.stdout) == (ExitCode.ENGINE, "")
    assert result.stderr.startswith("pete_sounds: no temporary folder can be written")
    assert len(result.stderr.splitlines()) == 1


def test_a_temporary_folder_that_is_not_there_is_done_without(
    program: Program, tiny: Path, speech: None
) -> None:
    program.environment["TMPDIR"] = "/nosuchfolder"
    result = program("--demo", "--once", "--mute", "--wav", "out.wav")
    assert result.returncode == 0
    assert len(result.stderr.splitlines()) == 2, result.stderr
    with wave.open(str(program.here / "out.wav")) as file:
        assert file.getnframes() > 2205


# --------------------------------------------------------------------------------------- endings


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_start_up_quietly(program: Program, number: signal.Signals) -> None:
    """While Python still imports what the program needs; here that never comes to its end."""
    (program.here / "argparse.py").write_text(
        "import time\nopen('here', 'w').close()\ntime.sleep(60)\n"
    )
    program.environment["PYTHONPATH"] = str(program.here)
    running = program.start("--demo")
    assert wait_until((program.here / "here").exists, 20)
    result = running.end(number)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def hanging(running: Running) -> set[int]:
    """The child of --list-voices is there."""
    return set(wait_until(running.family, 20))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("option", ["--list-voices", "--bench"])
def test_listing_and_measuring_end_when_asked(
    program: Program, tiny: Path, option: str, number: signal.Signals
) -> None:
    """A stand-in for a speech engine that hangs: on Linux none does."""
    (program.here / "pyttsx3.py").write_text("import time\ntime.sleep(60)\n")
    program.environment["PYTHONPATH"] = str(program.here)
    arguments: list[Any] = [option, "--model", tiny] if option == "--bench" else [option]
    running = program.start(*arguments)
    started = set()
    if option == "--bench":
        time.sleep(1)
    else:
        assert (started := hanging(running))
    asked = time.monotonic()
    result = running.end(number)
    assert time.monotonic() - asked < 2
    assert (result.returncode, result.stdout, result.stderr) == (ExitCode.OK, "", "")
    assert wait_until(lambda: not started & {pid for pid, *_ in process_table()}, 1)
