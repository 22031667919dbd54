"""Player: miniaudio on ALSA's stand-in for a sound card, which can be unplugged and block."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from narrator.speech.player import Clip, Player
from narrator.speech.sounds import Sound
from support.program import wait_until
from support.sound import SoundCard, heard_in, times_of

from .conftest import plug_in


def tone(hertz: int, seconds: float) -> bytes:
    """Samples of a tone."""
    at = np.arange(int(seconds * 22050))
    return (8000 * np.sin(math.tau * hertz * at / 22050)).astype("<i2").tobytes()


OpenPlayer = Callable[..., Player]


@pytest.fixture
def open_player() -> Iterator[OpenPlayer]:
    opened: list[Player] = []

    def open_player(stall_s: float = 60.0) -> Player:
        opened.append(Player(True, stall_s))
        return opened[-1]

    yield open_player
    for player in opened:
        player.close()


def wait_until_quiet(player: Player) -> None:
    assert wait_until(lambda: player.left_s() == 0, 60)


def test_clips_are_heard_one_after_the_other_and_a_sound_before_the_next_sentence(
    plugged_in: SoundCard, open_player: OpenPlayer
) -> None:
    heard: list[int] = []
    player = open_player()
    first, second = tone(300, 1.0), tone(600, 0.5)
    player.play(Clip(first, 1, lambda samples: heard.append(len(samples))))
    assert wait_until(plugged_in.seconds, 60)
    player.play(Clip(second, 1, lambda samples: heard.append(len(samples))))
    player.play(Clip(Sound.READY.samples(1.0), stale_at=math.inf))
    player.play(Clip(Sound.ALERT.samples(1.0), stale_at=math.inf))  # in the place of the other
    wait_until_quiet(player)
    assert wait_until(lambda: not plugged_in.is_open, 60)
    played = plugged_in.played()
    [a], [alert], [b] = (
        times_of(each, played) for each in (first, Sound.ALERT.samples(1.0), second)
    )
    assert a < alert < b
    assert times_of(Sound.READY.samples(1.0), played) == []
    assert heard == [len(first), len(second)]
    assert b + 0.5 <= len(played) / 22050 + 0.01  # to its end
    assert player.trouble is None


def test_what_waits_is_dropped_for_a_newer_caption_and_when_it_is_stale(
    plugged_in: SoundCard, open_player: OpenPlayer
) -> None:
    player = open_player()
    player.play(Clip(tone(300, 3.0), 1))
    assert wait_until(plugged_in.seconds, 60)
    player.play(Clip(tone(500, 0.5), 1))
    player.play(Clip(tone(700, 0.5), 2))
    player.play(Clip(Sound.ANSWER.samples(1.0), stale_at=time.monotonic() - 1))
    player.keep(2)
    assert player.sentences() <= 2
    wait_until_quiet(player)
    assert wait_until(lambda: not plugged_in.is_open, 60)
    heard = [bool(times_of(tone(hertz, 0.5), plugged_in.played())) for hertz in (300, 500, 700)]
    assert heard == [True, False, True]
    assert times_of(Sound.ANSWER.samples(1.0), plugged_in.played()) == []


def test_hush_drops_all_and_tells_what_was_heard(
    slow_sound_card: SoundCard, open_player: OpenPlayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in(slow_sound_card, monkeypatch)
    player, heard = open_player(), list[int]()
    player.play(Clip(tone(300, 5.0), 1, lambda samples: heard.append(len(samples))))
    player.play(Clip(tone(500, 5.0), 1, lambda samples: heard.append(-1)))
    assert wait_until(slow_sound_card.seconds, 60)
    player.hush()
    wait_until_quiet(player)
    assert wait_until(lambda: heard, 60)
    assert len(heard) == 1
    assert 0 < heard[0] < 44100
    assert slow_sound_card.seconds() < 2
    player.play(Clip(b"", 2))
    wait_until_quiet(player)
    assert player.trouble is None


def test_a_missing_device_is_reported_once_and_so_is_its_return(
    plugged_in: SoundCard,
    open_player: OpenPlayer,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    plugged_in.unplug()
    player = open_player()
    for caption in range(3):
        player.play(Clip(tone(300, 0.1), caption))
        wait_until_quiet(player)
    player.play(Clip(Sound.TROUBLE.samples(1.0)))  # It is not tried for a sound.
    assert player.trouble == "no sound device was found"
    plugged_in.plug_in()
    player.play(Clip(tone(300, 0.1), 9))
    wait_until_quiet(player)
    assert wait_until(lambda: player.trouble is None, 60)
    assert plugged_in.seconds() > 0
    assert times_of(Sound.TROUBLE.samples(1.0), plugged_in.played()) == []
    assert caplog.messages == [
        "no sound: no sound device was found; the captions go on as text",
        "the sound is back",
    ]
    assert capfd.readouterr() == ("", "")  # ALSA has much to say about it.


def test_a_device_that_blocks_holds_up_nobody_and_may_come_back(
    stuck_sound_card: SoundCard,
    open_player: OpenPlayer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plug_in(stuck_sound_card, monkeypatch)
    player = open_player(stall_s=0.5)
    player.play(Clip(tone(300, 3.0), 1))
    wait_until_quiet(player)
    for caption in range(5):
        player.play(Clip(tone(300, 0.1), caption))
        player.hush()
    assert player.trouble == "the sound device does not respond"
    stuck_sound_card.stuck_after = math.inf

    def is_back() -> bool:
        player.play(Clip(tone(300, 0.1), 7))
        return wait_until(lambda: player.left_s() == 0, 60) and player.trouble is None

    assert wait_until(is_back, 60)
    blocked = "no sound: the sound device does not respond; the captions go on as text"
    assert caplog.messages == [blocked, "the sound is back"]


def test_a_player_is_closed_while_its_device_blocks(
    stuck_sound_card: SoundCard, open_player: OpenPlayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in(stuck_sound_card, monkeypatch)
    player = open_player(stall_s=3600.0)
    player.play(Clip(tone(300, 3.0), 1))
    assert wait_until(lambda: len(stuck_sound_card.played()) >= 15_000, 60)
    player.close()  # does not wait for the hour


def test_nothing_is_left_open_by_many_hushes(
    plugged_in: SoundCard, open_player: OpenPlayer
) -> None:
    player = open_player()
    wait_until_quiet(player)
    before = len(os.listdir("/dev/fd"))
    for caption in range(10):
        player.play(Clip(tone(300, 0.5), caption))
        wait_until(lambda: player.left_s() < 0.5, 60)
        player.hush()
    wait_until_quiet(player)
    assert wait_until(lambda: len(os.listdir("/dev/fd")) <= before + 1, 20)
    assert heard_in(plugged_in.played())
