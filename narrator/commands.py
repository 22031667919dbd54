"""What is typed and pressed, and what it does: one table of commands, one of the preview's keys.

A line that is no command is a question about the picture. What needs the model waits here as a
Request, for captioning.py; all else is done at once.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from narrator.conditions import Conditions
from narrator.errors import StopRequested
from narrator.narration import Narrator
from narrator.outputs.saved_frames import SavedFrames
from narrator.terminal import Terminal
from narrator.text import as_condition, nearest, printable, without_marks
from narrator.view import View

log = logging.getLogger(__name__)

READ = "read"
MORE_PROMPT = "Describe everything that you see in detail."
NO_MODEL = "With --read there is no model that could answer."
MAX_WAITING = 8  # lines, and requests
END = ("q", "quit", "exit")


@dataclass(frozen=True)
class Request:
    """What the model is asked for. question: as typed, or None for the usual prompt. detail: look
    closely and say more. said: what is to be compared with what is seen now. read: the text in
    view."""

    question: str | None = None
    detail: bool = False
    said: str = ""
    read: bool = False

    @property
    def prompt(self) -> str | None:
        """The question as the model is asked it."""
        return self.question and without_marks(self.question)


def command_of(text: str) -> str:
    """A typed line as a command is written: "More." is more, and "??" is ?."""
    return " ".join(text.casefold().rstrip("?.! ").split()) or text[:1]


class TypedLines:
    """Reads what is typed on a terminal, on a thread, as it may come at any moment.

    q ends the program at once, whatever the main thread is doing, and every line but `speak`
    silences the voice; the rest of its meaning waits for the main thread, the same line once.
    """

    def __init__(self, terminal: Terminal, hush: Callable[[], None]) -> None:
        self._terminal, self._hush = terminal, hush
        self._waiting: deque[str] = deque()
        self._dropped = False
        threading.Thread(target=self._listen, name="typed lines", daemon=True).start()

    def take(self) -> tuple[list[str], bool]:
        """The lines that wait, printable, and whether others were dropped, as too many waited."""
        dropped, self._dropped = self._dropped, False
        return [self._waiting.popleft() for _ in range(len(self._waiting))], dropped

    def _listen(self) -> None:
        for line in self._terminal.lines():
            text = printable(line)
            if command_of(text) in END:
                os.kill(os.getpid(), signal.SIGINT)
                continue
            if len(self._waiting) >= MAX_WAITING:
                self._dropped = True
            elif text not in self._waiting:  # Enter held down, say
                self._waiting.append(text)
            if command_of(text) != "speak":
                self._hush()


class Commands:
    """Does what was typed and pressed; check() is called whenever there is time for it."""

    def __init__(
        self,
        narrator: Narrator,
        view: View,
        saved: SavedFrames,
        typed: TypedLines | None = None,
        conditions: Sequence[str] = (),
        has_model: bool = True,
    ) -> None:
        self._narrator, self._view, self._saved = narrator, view, saved
        self._typed, self._preview = typed, view.preview
        self.conditions = Conditions(conditions)
        self._has_model = has_model
        self._asked: deque[Request] = deque()
        self._asked_back = ""  # the line that looked like a mistyped command
        self._told_to_wait = False

    @property
    def asked(self) -> bool:
        """True when something was asked that the model has to answer, and may be now."""
        return bool(self._asked) and not self._view.paused

    def requests(self) -> Iterator[Request]:
        """What was asked, in turn, each once; those that come meanwhile, too."""
        self.check()
        while self.asked:
            yield self._asked.popleft()
            self.check()

    def check(self) -> None:
        """Do what was typed and pressed since the last call. Raises StopRequested."""
        for key in self._preview.pressed() if self._preview is not None else ():
            if key in PREVIEW_KEYS:
                PREVIEW_KEYS[key](self)
        lines, dropped = self._typed.take() if self._typed is not None else ([], False)
        for line in lines:
            self._narrator.cut_short()
            self._obey(line)
        if dropped:
            self._narrator.announce("Too many lines at once; some were dropped.")
        if self._asked and self._view.paused and not self._told_to_wait:
            self._told_to_wait = True
            self._narrator.announce("It is paused. What was asked is answered when it goes on.")

    def _obey(self, text: str) -> None:
        name = command_of(text)
        command = BY_NAME.get(name)
        if command is not None:
            command.run(self)
            return
        first, _, rest = text.partition(" ")
        command = BY_NAME.get(first.casefold())
        if command is not None and command.run_with is not None and not text.endswith("?"):
            command.run_with(self, rest)
            return
        near = nearest(name, [known for known in BY_NAME if len(known) > 2])
        if near is not None and text != self._asked_back and not text.endswith("?"):
            self._asked_back = text
            self._narrator.announce(
                f"Did you mean {near}? To ask it as a question, type it once more."
            )
            return
        self._ask(Request(text))

    def _ask(self, request: Request) -> None:
        if not self._has_model and request.question and not request.read:
            self._narrator.announce(NO_MODEL)
        elif request not in self._asked and len(self._asked) < MAX_WAITING:
            self._asked.append(request)

    # -- the commands

    def describe(self) -> None:
        self._ask(Request())

    def more(self) -> None:
        self._ask(Request(MORE_PROMPT, detail=True))

    def read(self) -> None:
        self._ask(Request(READ, read=True))

    def sure(self) -> None:
        """Look again, and compare with what was said last."""
        if self._narrator.latest and self._narrator.answered == READ:
            self.read()
        elif self._narrator.latest:
            question = self._narrator.answered or MORE_PROMPT  # in other words than a caption's
            self._ask(Request(question, said=self._narrator.latest))
        else:
            self._narrator.announce("Nothing was said yet.")

    def wait_for(self, text: str) -> None:
        told = self.conditions.add(as_condition(text)) if self._has_model else NO_MODEL
        self._narrator.announce(told)

    def list_conditions(self) -> None:
        self._narrator.announce(self.conditions.summary(self._view.source.now()), shown=False)

    def forget(self) -> None:
        self.conditions.all.clear()
        self._narrator.announce("Nothing is waited for; what changes is described.")

    def again(self) -> None:
        """Say the last caption once more, and log it."""
        if not self._narrator.again() and self._preview is not None:
            self._preview.note("nothing can be said again")
        log.info(self._narrator.latest or "nothing was said yet")

    def hush(self) -> None:
        """The voice was silenced when the line was typed; so is the rest of the caption."""
        if self._has_voice():
            self._narrator.hush()

    def quiet(self) -> None:
        if self._has_voice():
            self._narrator.hush()
            self._narrator.mute(True)
            self._narrator.announce("The voice is off.")

    def speak(self) -> None:
        if self._has_voice():
            self._narrator.mute(False)
            self._narrator.announce("The voice is on.")

    def recap(self) -> None:
        self._narrator.announce(self._narrator.recap(), shown=False)

    def pause(self, paused: bool = True) -> None:
        if paused != self._view.paused:
            self._view.pause(paused)
            self._told_to_wait = False
            self._narrator.announce("Paused." if paused else "Going on.", shown=False)

    def resume(self) -> None:
        self.pause(False)

    def toggle_pause(self) -> None:
        self.pause(not self._view.paused)

    def help(self) -> None:
        listed = [f"{' or '.join(each.names)}: {each.help}." for each in TYPED]
        question = "Any other line: a question about the picture."
        self._narrator.announce(" ".join([question, *listed]))

    def stop(self) -> None:
        raise StopRequested

    def save(self) -> None:
        """Save the frame on show in the preview, with the words under it."""
        preview = self._preview
        if preview is not None and preview.frame is not None:
            taken = self._narrator.time_of(preview.frame)
            path = self._saved.save(preview.frame, taken, preview.caption)
            preview.note("the frame was not saved" if path is None else f"saved {path.name}")
            if path is not None:
                log.info(f"saved {path}")

    def _has_voice(self) -> bool:
        if not self._narrator.has_voice:
            log.info("there is no voice to switch: --mute was given, or speech failed")
        return self._narrator.has_voice


@dataclass(frozen=True)
class Command:
    """A line that can be typed: its names, what it does in a few words, and what does it. run_with:
    what a line does that has more words behind the name."""

    names: tuple[str, ...]
    help: str
    run: Callable[[Commands], None]
    run_with: Callable[[Commands, str], None] | None = None


TYPED = (
    Command(("Enter",), "describe now", Commands.describe),
    Command(("more",), "in detail", Commands.more),
    Command((READ,), "the text in view", Commands.read),
    Command(("again",), "the last caption once more", Commands.again),
    Command(("sure",), "look again, and compare", Commands.sure),
    Command(
        ("when",),
        "what is waited for; when and a few words: tell when that is in view, and nothing else",
        Commands.list_conditions,
        Commands.wait_for,
    ),
    Command(("forget",), "wait for nothing more", Commands.forget),
    Command(("hush", "stop"), "silence now", Commands.hush),
    Command(("quiet",), "voice off", Commands.quiet),
    Command(("speak",), "voice on", Commands.speak),
    Command(("what did I miss", "missed"), "the last minutes", Commands.recap),
    Command(("pause",), "look no more", Commands.pause),
    Command(("go on",), "look again", Commands.resume),
    Command(("help", "?"), "this list", Commands.help),
    Command(END, "end", Commands.stop),
)
BY_NAME = {name.casefold(): command for command in TYPED for name in command.names}
BY_NAME[""] = BY_NAME.pop("enter")

PREVIEW_KEYS: dict[str, Callable[[Commands], None]] = {
    "q": Commands.stop,
    " ": Commands.toggle_pause,
    "r": Commands.again,
    "s": Commands.save,
}
