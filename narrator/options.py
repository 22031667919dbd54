"""The command line: every option that exists, checked as a whole, as one frozen Options.

It is parsed before anything heavy is imported, so that --help and a mistake are answered at once.
What can only be known later (does the model exist, is there a camera) is not asked here.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from narrator import settings
from narrator.errors import ExitCode
from narrator.settings import DEFAULT_MODEL, DEFAULT_SOURCE
from narrator.text import did_you_mean, without_password
from narrator.values import condition, engine_name, is_server, non_empty, number_between, question

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What the command line asks for; --once is a limit of 1, and --demo a source and a model."""

    source: str
    demo: bool
    list_cameras: bool
    model: str | None  # None: the one that a server serves
    engine: str
    bits: int | None
    prompt: str
    max_tokens: int
    frames: int
    detail: bool
    read: bool
    list_models: bool
    limit: int | None
    always: bool
    every: float
    when: tuple[str, ...]
    mute: bool
    voice: str | None
    rate: int
    volume: float
    list_voices: bool
    no_sounds: bool
    check: bool
    bench: bool
    json: bool
    wav: str | None
    save: str | None
    preview: bool
    vtt: str | None
    debug: bool

    @property
    def own_prompt(self) -> bool:
        """True when what is said may be in the user's language: the prompt is, or text is read."""
        return self.read or self.prompt not in (settings.DEFAULT_PROMPT, settings.CLIP_PROMPT)


class OneLineParser(argparse.ArgumentParser):
    """argparse, but a wrong command line is answered in one line instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        wrong = re.match(r"unrecognized arguments: ([^ =]*)", message)
        meant = did_you_mean(wrong[1], self._option_string_actions) if wrong else ""
        log.error(f"{without_password(message)}{meant} (--help lists the options)")
        raise SystemExit(int(ExitCode.USAGE))


# fmt: off
def argument_parser() -> argparse.ArgumentParser:
    """Every option that exists. The names are a contract: README and tests hold to them."""
    parser = OneLineParser(
        prog="pete_sounds.py",
        description="Watches a camera and says aloud what it sees, on your own machine.",
        epilog="Captions go to stdout, everything else to stderr. While it runs, the machine does "
               "not go to sleep; type a question, or ? to hear what else can be typed. Ctrl-C ends "
               "it.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {settings.VERSION}",
                        help="print the version and exit")
    add_what_to_watch(parser)
    add_what_to_say(parser)
    add_when_and_how(parser)
    add_what_to_keep(parser)
    return parser


def add_what_to_watch(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what to watch").add_argument
    add("given_source", metavar="SRC", nargs="?", type=non_empty,
        help="camera's number or name, video, picture, stream, or - for a video from stdin "
             "(default: 0, on a Mac the camera that the system takes)")
    add("--source", metavar="SRC", type=non_empty, help="the same as SRC")
    add("--demo", action="store_true",
        help="the small bundled model on a drawn clip: no camera, no download")
    add("--list-cameras", action="store_true", help="list the cameras and exit")


def add_what_to_say(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what to say").add_argument
    add("--model", metavar="NAME", type=non_empty,
        help="a name from --list-models, a Hub repository, or a folder (default: "
             f"{DEFAULT_MODEL}); for a server, its own name for it (default: the one it serves)")
    add("--engine", metavar="NAME", type=engine_name, default=settings.ENGINES[0],
        help="auto, mlx, openvino or torch: what runs the model; auto is mlx on Apple Silicon, "
             "torch with an NVIDIA or AMD GPU, else openvino (default: %(default)s). Or "
             "http://HOST:PORT, an OpenAI-compatible server: frames are sent there, with the key "
             f"in {settings.SERVER_KEY}")
    add("--bits", metavar="N", type=int, choices=settings.BITS,
        help="4, 8 or 16 bits a weight: fewer are quicker, more are more accurate (default: 4 for "
             "mlx on Apple Silicon, 8 for openvino, else 16; openvino takes 8 or 16, torch 16)")
    add("--prompt", metavar="TEXT", type=question,
        help=f"what to ask of each frame (default: {settings.DEFAULT_PROMPT})")
    add("--max-tokens", metavar="N", type=number_between(1, 4096),
        default=settings.DEFAULT_MAX_TOKENS,
        help="length of a caption at most, in tokens (default: %(default)s)")
    add("--frames", metavar="N", type=number_between(1, settings.MAX_CLIP_FRAMES), default=1,
        help="describe the last N frames, a second apart, as one clip: what moves, and where to; "
             f"1 to {settings.MAX_CLIP_FRAMES} (default: %(default)s)")
    add("--detail", action="store_true",
        help="split the frame into tiles, or send a server all its pixels: finer, and about ten "
             "times slower")
    add("--read", action="store_true",
        help="read the text in view, word for word, instead of describing; needs no model")
    add("--list-models", action="store_true",
        help="list the models, and those on this disk, and exit")


def add_when_and_how(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("when to say it").add_argument
    add("--once", action="store_true", help="one caption, then end")
    add("--limit", metavar="N", type=number_between(1, 1_000_000), help="end after N captions")
    add("--always", action="store_true", help="caption even when nothing changed")
    add("--every", metavar="SEC", type=number_between(0.0, 86400.0), default=0.0,
        help="at most one caption in so many seconds, of the newest frame; answers and alerts come "
             "at once (default: 0)")
    add("--when", metavar="TEXT", type=condition, action="append", default=[],
        help="speak only when TEXT is in view, otherwise stay silent: a thing (a red circle) or a "
             f"sentence (the door is open); up to {settings.MAX_CONDITIONS} times")

    add = parser.add_argument_group("voice").add_argument
    add("--mute", action="store_true", help="text only, no voice")
    add("--voice", metavar="ID", type=non_empty,
        help="a voice's ID, name or language, see --list-voices")
    add("--rate", metavar="WPM", type=number_between(80, 450), default=settings.DEFAULT_RATE,
        help="words a minute, 80 to 450 (default: %(default)s)")
    add("--volume", metavar="V", type=number_between(0.0, 1.0), default=settings.DEFAULT_VOLUME,
        help="0 to 1 (default: %(default)s)")
    add("--list-voices", action="store_true", help="list the voices and exit")
    add("--no-sounds", action="store_true",
        help="no short sounds for ready, still looking, answer, trouble and alert")

    add = parser.add_argument_group("does it work, and how fast").add_argument
    add("--check", action="store_true",
        help="try camera, model and voice with the other options given, say what is wrong with "
             "each and what to do, and exit")
    add("--bench", action="store_true", help="measure this machine and print the table")


def add_what_to_keep(parser: argparse.ArgumentParser) -> None:
    """Where captions go; each of these opens an output, see narrator/outputs."""
    add = parser.add_argument_group("what to keep").add_argument
    add("--json", action="store_true", help="print each caption as one JSON object")
    add("--wav", metavar="FILE", type=non_empty, help="collect the narration in a WAV file")
    add("--save", metavar="DIR", type=non_empty,
        help="keep the frame of each caption there, a JPEG with the caption inside")
    add("--preview", action="store_true",
        help="a window with frame and caption; keys: q end, space pause, r say again, s save")
    add("--vtt", metavar="FILE", type=non_empty,
        help="write the narration of a video as WebVTT; it is described as fast as it goes, "
             "unheard, and --wav is then as long as it, each sentence at its cue")
    add("--debug", action="store_true", help="say more about what goes on and what goes wrong")
# fmt: on


NOT_FOR_READING = (
    "demo", "model", "engine", "bits", "prompt", "max_tokens", "frames", "detail", "check", "when",
)  # fmt: skip
FOR_BENCH = {"bench", "engine", "bits", "model", "prompt", "json", "debug"}


def parse_options(arguments: Sequence[str] | None = None) -> Options:
    """Check the whole command line. Exits 2, with one line, when it is wrong."""
    parser = argument_parser()
    given = parser.parse_args(arguments)
    take_source(parser, given)
    if given.read:
        for name in NOT_FOR_READING:
            if getattr(given, name) != parser.get_default(name):
                parser.error(f"--read needs no model; leave --{name.replace('_', '-')} out")
    if is_server(given.engine):
        refuse_for_server(parser, given)
    elif given.model is None:
        given.model = DEFAULT_MODEL
    if given.bench:
        for name, value in vars(given).items():
            if name not in FOR_BENCH and value != parser.get_default(name):
                parser.error(f"--bench has no use for --{name.replace('_', '-')}; leave it out")
    if given.demo:
        for name, default in (("source", None), ("model", DEFAULT_MODEL)):
            if getattr(given, name) != default:
                parser.error(f"--demo brings its own {name}; leave one of the two out")
        given.source, given.model = str(settings.DEMO / "demo.mp4"), str(settings.DEMO)
    elif given.source is None:
        given.source = DEFAULT_SOURCE
    if len(given.when) > settings.MAX_CONDITIONS:
        parser.error(f"--when can be given {settings.MAX_CONDITIONS} times at most")
    given.when = tuple(given.when)
    if given.detail and given.frames > 1:
        parser.error("--detail is for single frames, --frames for clips; leave one of the two out")
    if given.prompt is None:
        given.prompt = settings.DEFAULT_PROMPT if given.frames == 1 else settings.CLIP_PROMPT
    if given.once:
        if given.limit is not None:
            parser.error("--once is --limit 1; leave one of the two out")
        given.limit = 1
    del given.once
    check_files(parser, given)
    return Options(**vars(given))


def take_source(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """Make --source of an SRC without it. Exits 2 when both are there."""
    if None not in (given.given_source, given.source):
        parser.error("two sources are given, one of them with --source; leave one out")
    given.source = given.source or given.given_source
    del given.given_source


def refuse_for_server(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """Exit 2 for what means nothing where a server runs the model."""
    if given.bits is not None:
        parser.error("--bits is for mlx and torch; a server has weights of its own")
    if given.bench:
        parser.error("--bench measures this machine; leave --engine URL out")
    if given.demo:
        parser.error("--demo brings its own model; leave --engine URL out")


def check_files(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """Exit 2 for files that would overwrite the source or each other."""
    for name in ("wav", "vtt"):
        path = getattr(given, name)
        if path is None:
            continue
        if same_file(path, given.source):
            parser.error(f"--{name} would overwrite --source; give it another name")
    if None not in (given.wav, given.vtt) and (
        same_file(given.wav, given.vtt)
        or os.path.realpath(given.wav) == os.path.realpath(given.vtt)
    ):
        parser.error("--wav and --vtt are one file; give one of them another name")


def same_file(one: str, other: str) -> bool:
    """True when both names lead to one existing file."""
    with contextlib.suppress(OSError, ValueError):
        return os.path.samefile(one, os.path.expanduser(other))
    return False
