"""What is typed and pressed, and what it does: one table of commands, one of the preview's keys.

A line that is no command is a question about the picture. What needs the model waits here as a
Request, for captioning.py; all else is done at once.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from narrator.conditions import Conditions
from narrator.errors import StopRequested
from narrator.narration import Narrator
from narrator.outputs.preview import NoPreview
from narrator.outputs.saved_frames import SavedFrames
from narrator.text import as_condition, capitalised, nearest, without_marks
from narrator.typed import END, MAX_WAITING, SPEAK, NothingTyped, command_of

log = logging.getLogger(__name__)

READ = "read"
MORE_PROMPT = "Describe everything that you see in detail."
NO_MODEL = "With --read there is no model to answer that."
ORDER = re.compile(r"(count|describe|explain|find|list|name|say|show|tell)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """What the model is asked for. question: as typed, or None for the usual prompt. detail: look
    closely and say more. said: what to compare with what is seen now. read: the text in view."""

    question: str | None = None
    detail: bool = False
    said: str = ""
    read: bool = False

    @property
    def prompt(self) -> str | None:
        """The question as the model is asked it."""
        return self.question and as_sentence(without_marks(self.question))


def as_sentence(question: str) -> str:
    """A question as models have read questions: a capital first, and a mark at the end."""
    question = capitalised(question.strip())
    if question.endswith((".", "!", "?")):
        return question
    return question + ("." if ORDER.match(question) else "?")


class Commands:
    """Does what was typed and pressed; check() is called whenever there is time for it."""

    def __init__(
        self,
        narrator: Narrator,
        conditions: Conditions,
        saved: SavedFrames,
        typed: NothingTyped,
        preview: NoPreview,
        has_model: bool = True,
    ) -> None:
        self.narrator, self.conditions = narrator, conditions
        self.saved, self.preview, self.has_model = saved, preview, has_model
        self.paused = self.muted = False
        self._typed = typed
        self._asked: deque[Request] = deque()
        self._asked_back = ""  # the line that looked like a mistyped command

    @property
    def asked(self) -> bool:
        """True when something was asked that the model has to answer, and may be now."""
        return bool(self._asked) and not self.paused

    def requests(self) -> Iterator[Request]:
        """What was asked, in turn, each once; what is asked meanwhile, too."""
        self.check()
        while self.asked:
            yield self._asked.popleft()
            self.check()

    def check(self) -> None:
        """Do what was typed and pressed since the last call. Raises StopRequested."""
        for key in self.preview.pressed():
            if key in PREVIEW_KEYS:
                PREVIEW_KEYS[key](self)
        lines, dropped = self._typed.take()
        for line in lines:
            self.narrator.cut_short()
            self._obey(line)
        if dropped:
            self.narrator.announce("Too many lines at once; some were dropped.")

    def _obey(self, text: str) -> None:
        name = command_of(text)
        if name in BY_NAME:
            BY_NAME[name].run(self)
            return
        for begin, run_with in TAKING_WORDS.items():
            if text[: len(begin)].casefold() == begin and not text.endswith("?"):
                run_with(self, text[len(begin) :])
                return
        near = nearest(name, [known for known in BY_NAME if len(known) > 2])
        if near is not None and text != self._asked_back and not text.endswith("?"):
            self._asked_back = text
            self.narrator.announce(
                f"Did you mean {near}? To ask it as a question, type it once more."
            )
            return
        self.ask(Request(text))

    def ask(self, request: Request) -> None:
        """Have something answered, when it is its turn."""
        if not self.has_model and request.question and not request.read:
            self.narrator.announce(NO_MODEL)
        elif request not in self._asked and len(self._asked) < MAX_WAITING:
            if self.paused and not self._asked:
                self.narrator.announce("Paused. I'll answer after you type go on.")
            self._asked.append(request)

    def pause(self, paused: bool) -> None:
        """Stop watching, or go on, and a video from where it stood."""
        if paused != self.paused:
            self.paused = self.preview.paused = paused
            self.narrator.source.pause(paused)
            self.narrator.announce("Paused." if paused else "Going on.", shown=False)

    def has_voice(self) -> bool:
        """Whether there is a voice; says so where there is none."""
        if not self.narrator.speaker.audible:
            log.info("no voice: --mute was given, or speech failed")
        return self.narrator.speaker.audible


# ---------------------------------------------------------------------------------- what each does


def sure(commands: Commands) -> None:
    """Look again, and compare with what was said last."""
    history = commands.narrator.history
    if history.latest and history.answered == READ:
        commands.ask(Request(READ, read=True))
    elif history.latest:
        question = history.answered or MORE_PROMPT  # in other words than a caption's
        commands.ask(Request(question, said=history.latest))
    else:
        commands.narrator.announce("Nothing has been said yet.")


def watch_for(commands: Commands, text: str) -> None:
    added = commands.conditions.add(as_condition(text)) if commands.has_model else NO_MODEL
    commands.narrator.announce(added)


def list_conditions(commands: Commands) -> None:
    narrator = commands.narrator
    narrator.announce(commands.conditions.summary(narrator.source.now()), shown=False)


def forget(commands: Commands) -> None:
    commands.conditions.all.clear()
    commands.narrator.announce("Alerts cleared. Describing changes again.")


def again(commands: Commands) -> None:
    """Say the last caption once more, and log it."""
    latest = commands.narrator.history.latest
    if not (latest and commands.narrator.say(latest)):
        commands.preview.note("nothing to say again")
    log.info(latest or "nothing has been said yet")


def hush(commands: Commands) -> None:
    """The voice was silenced when the line was typed; so is the rest of the caption."""
    if commands.has_voice():
        commands.narrator.hush()


def quiet(commands: Commands) -> None:
    if commands.has_voice():
        commands.narrator.hush()
        commands.narrator.speaker.mute(True)
        commands.muted = True
        commands.narrator.announce("The voice is off.")


def speak(commands: Commands) -> None:
    if commands.has_voice():
        commands.narrator.speaker.mute(False)
        commands.muted = False
        commands.narrator.announce("The voice is on.")


def recap(commands: Commands) -> None:
    commands.narrator.announce(commands.narrator.history.recap(), shown=False)


def status(commands: Commands) -> None:
    """Say whether it is watching, what for, and whether it speaks."""
    narrator, conditions = commands.narrator, commands.conditions
    watching = "Describing changes." if commands.has_model else "Reading the text in view."
    if narrator.source.lost:
        watching = "Waiting for the source to come back."
    elif conditions.all:
        watching = conditions.summary(narrator.source.now())
    voice = "off" if commands.muted or not narrator.speaker.audible else "on"
    if voice == "on" and narrator.speaker.trouble:
        voice = f"on, but there is {narrator.speaker.trouble}"
    count = narrator.history.count
    captions = f"{count} caption{'' if count == 1 else 's'} so far"
    paused = "Paused. " if commands.paused else ""
    narrator.announce(f"{paused}{watching} The voice is {voice}. {captions}.", shown=False)


def help_(commands: Commands) -> None:
    """List every command on the screen, and say the most used ones."""
    log.info("any other line: answer it as a question about the picture")
    for command in TYPED:
        log.info(f"{', '.join(command.names)}: {command.help}")
    said = " ".join(f"{name}: {BY_NAME[key].help}." for key, name in MOST_USED.items())
    commands.narrator.say(f"Type a question, or one of these. {said} The screen lists the others.")


def stop(commands: Commands) -> None:
    raise StopRequested


def save(commands: Commands) -> None:
    """Save the frame on show in the preview, with the words under it."""
    preview = commands.preview
    if preview.frame is not None:
        taken = commands.narrator.time_of(preview.frame)
        path = commands.saved.save(preview.frame, taken, preview.caption)
        preview.note("the frame was not saved" if path is None else f"saved {path.name}")
        if path is not None:
            log.info(f"saved {path}")


Run = Callable[[Commands], None]


@dataclass(frozen=True)
class Command:
    """A line that can be typed: its names, what it does in a few words, and what does it. run_with:
    what a line does that has more words behind the name."""

    names: tuple[str, ...]
    help: str
    run: Run
    run_with: Callable[[Commands, str], None] | None = None


TYPED = (
    Command(("Enter",), "describe now", lambda commands: commands.ask(Request())),
    Command(
        ("more",), "describe in detail", lambda commands: commands.ask(Request(MORE_PROMPT, True))
    ),
    Command(
        (READ,), "read the text in view", lambda commands: commands.ask(Request(READ, read=True))
    ),
    Command(("again", "repeat"), "say the last caption once more", again),
    Command(("sure",), "look again, and compare with what was said", sure),
    Command(
        ("when", "tell me when"),
        "alert you to what follows; alone: list alerts",
        list_conditions,
        watch_for,
    ),
    Command(("forget",), "clear the alerts", forget),
    Command(("hush", "stop"), "be silent now", hush),
    Command(("quiet", "mute"), "turn the voice off", quiet),
    Command(SPEAK, "turn the voice on", speak),
    Command(("what did I miss", "missed"), "say what happened in the last minutes", recap),
    Command(("pause",), "stop watching", lambda commands: commands.pause(True)),
    Command(("go on", "resume", "continue"), "watch again", lambda commands: commands.pause(False)),
    Command(("status",), "say what it is doing", status),
    Command(("help", "?"), "show this list", help_),
    Command(END, "end the program", stop),
)
BY_NAME = {name.casefold(): command for command in TYPED for name in command.names}
BY_NAME[""] = BY_NAME.pop("enter")
TAKING_WORDS = {
    f"{name} ": command.run_with
    for command in TYPED
    for name in command.names
    if command.run_with is not None
}
MOST_USED = {"": "Enter", "more": "More", "again": "Again", "hush": "Hush", "q": "Q"}

PREVIEW_KEYS: dict[str, Run] = {
    "q": stop,
    " ": lambda commands: commands.pause(not commands.paused),
    "r": again,
    "s": save,
}
