#!/usr/bin/env python3
"""Pete Sounds: a webcam narrator for the command line.

It watches a camera, says in one spoken sentence what it sees, and stays quiet while nothing
changes. Everything runs on this machine, unless --engine names a server. A frame becomes a voice
in this order; each part is a folder or a file of narrator/:

    frames/       camera, video, picture or stream -> its newest frame, with its time
    scene/        does the picture show anything, and did it change since the last caption?
    engines/      frame or clip + prompt -> pieces of text as they come (models/ finds the weights)
    narration     pieces -> sentences -> the voice and the outputs
    speech/       a sentence -> sound, in a child process that is watched, hushed and replaced
    outputs/      a caption -> a line, a JPEG, a cue, sound in a file, a window

Data flows one way. This file reads the command line, opens a session and holds the loop. What it
does not do: serve a model, train one, or send a frame anywhere but to the server that --engine
names.
"""

import os
import signal
import sys

# `python` may be 2.7, which has to parse all of this file to get here: hence no types in it.
if sys.version_info < (3, 9):  # noqa: UP036
    sys.stderr.write(
        "pete_sounds: this Python is too old. Run ./install.sh if you have not yet, then type: "
        ".venv/bin/python pete_sounds.py\n"
    )
    sys.exit(5)

if __name__ == "__main__":  # An end that is asked for while the imports below run is quiet, too.
    for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if _number != signal.SIGHUP or signal.getsignal(_number) != signal.SIG_IGN:
            signal.signal(_number, lambda *_: os._exit(0))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [_number])  # see continue_under_venv()

import logging

from narrator import libraries
from narrator.errors import (
    EngineError,
    ExitCode,
    ModelError,
    SourceError,
    StopRequested,
    user_message,
)
from narrator.options import parse_options
from narrator.process import (
    Shutdown,
    continue_under_venv,
    is_installed,
    leave,
    open_standard_streams,
    print_list,
)
from narrator.settings import PROJECT
from narrator.terminal import Terminal, log_to, own_secrets, tell_of_check

log = logging.getLogger("narrator")


def watch(captioner, commands):
    """The loop: the newest frame becomes a caption when it is worth one, until the source ends or
    there were enough; and what is asked meanwhile is answered."""
    while not captioner.finished:
        frame = captioner.next_frame()  # the source's newest; says what becomes of the source
        if frame is not None and captioner.wants(frame):  # readable, changed, the voice has time
            captioner.caption(frame)  # engine -> sentences -> voice and outputs
        for request in commands.requests():  # what was typed or pressed meanwhile
            captioner.answer(request)


def run(options, shutdown, terminal):
    """Open the source, the voice and the model, then watch."""
    from narrator.awake import keep_awake
    from narrator.session import Session

    keep_awake(shutdown)
    with Session(options, shutdown, terminal) as session:
        watch(session.parts.captioner, session.parts.commands)
        if options.demo and options.vtt is None:
            narrator = session.parts.narrator
            narrator.speaker.wait_until_quiet()  # or it would take the last caption's place
            narrator.announce(
                "That was the demo. Start it without --demo to have your camera described.",
                shown=False,
            )
    return session.exit_code


def do(options, shutdown, terminal):
    """Do what was asked for. Nothing heavy is imported before it is needed."""
    if options.list_models:
        from narrator.models.listing import list_models

        return print_list(list_models, ModelError)
    if options.list_cameras:
        from narrator.frames.opening import list_cameras

        return print_list(list_cameras, SourceError)
    if options.list_voices:
        from narrator.speech.voices import list_voices

        return print_list(lambda: list_voices(shutdown.opening), EngineError)
    if options.bench:
        from narrator.bench import bench

        return print_list(lambda: bench(options), EngineError)
    if options.check:
        from narrator.check import Check

        return print_list(Check(options, shutdown).run, EngineError)
    return run(options, shutdown, terminal)


def main(arguments=None):
    """Parse, do what was asked for, and return the exit code."""
    open_standard_streams()
    terminal = Terminal()
    log_to(terminal, own_secrets())
    options = parse_options(arguments)
    if options.debug:
        log.setLevel(logging.DEBUG)
    shutdown = Shutdown(first=terminal.give_back)
    code = ExitCode.OK
    try:
        if is_installed() or not options.list_models:
            continue_under_venv(PROJECT / "pete_sounds.py")
        libraries.set_environment()
        shutdown.on_signals()
        code = do(options, shutdown, terminal)
    except (StopRequested, BrokenPipeError):
        pass
    except Exception as error:
        shutdown.give_way()  # An end that was asked for breaks what goes on beside it.
        code = report_error(error)
        failed = code in (ExitCode.SOURCE, ExitCode.MODEL, ExitCode.ENGINE)
        if failed and is_installed() and not options.check:
            tell_of_check()
    shutdown.close()
    return int(code)


def report_error(error):
    """Say what went wrong, in one line, and return its exit code: the one place for that."""
    message, code = user_message(error)
    log.error(message)
    log.debug("", exc_info=error)
    return code


if __name__ == "__main__":
    try:
        status = main()
    except SystemExit as ended:  # from argparse: --help, a wrong option
        status = int(ended.code or 0)
    leave(status)
