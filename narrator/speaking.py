"""What is to be heard and kept of the narration: a voice, a track of cues and sound, or both."""

from __future__ import annotations

import contextlib
import logging

from narrator.errors import reason_of
from narrator.frames.files import Film
from narrator.frames.source import Source
from narrator.options import Options
from narrator.outputs.film_track import FilmNarrationTrack
from narrator.outputs.vtt import VttFile
from narrator.outputs.wav import WavFile
from narrator.speech.renderer import Renderer
from narrator.speech.speaker import Speaker
from narrator.speech.voice import Voice
from narrator.speech.voices import VoiceSettings

log = logging.getLogger(__name__)


def open_speaker(
    options: Options, source: Source | None, opened: contextlib.ExitStack
) -> tuple[Speaker, list[VttFile | WavFile]]:
    """The speaker that was asked for, a silent one when nothing is to be spoken or kept; and the
    files that are to begin before anything is said.

    opened: where all of it is registered to be closed. Raises UsageError for files that can't be
    written.
    """
    vtt = wav = None
    if options.vtt is not None:
        vtt = VttFile(options.vtt, None if options.own_prompt else "en")
        opened.callback(vtt.close)
    if options.wav is not None:
        wav = WavFile(options.wav)
        opened.callback(wav.close)
    settings = VoiceSettings(
        options.voice, options.rate, options.volume, not options.mute,
        sounds=not options.no_sounds, english=not options.own_prompt,
    )  # fmt: skip
    speaks = wav is not None or not options.mute
    film = source if isinstance(source, Film) else None
    voice: Voice | Renderer | None = None
    try:
        if speaks:
            voice = Renderer(settings) if film is not None else Voice(settings, wav)
            opened.callback(voice.close)
    except OSError as error:  # no temporary folder, no process
        log.info(f"no voice: {reason_of(error)}; the captions go on as text")
        wav = None
    files: list[VttFile | WavFile] = [file for file in (vtt, wav) if file is not None]
    if vtt is not None and film is not None:
        render = voice if isinstance(voice, Renderer) else None
        track = FilmNarrationTrack(vtt, wav, options.rate, film.length, render, options.always)
        opened.callback(track.close)
        return track, files
    return voice if isinstance(voice, Voice) else Speaker(), files
