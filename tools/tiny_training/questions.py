"""Questions about drawn scenes and their one true answer each, in several wordings: what the small
test model can be asked beside "describe this".

`random_question` picks one of a `KINDS` about a scene. Places mean what people mean: what is at the
top left is "on the left" and "at the top", too. What no picture of the grammar can tell ("What is
his name?") is answered with `UNKNOWN`. A question with `before` follows an earlier one and its
answer, and is about what that spoke of. Nothing here knows of any model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from support.drawn_scenes import (
    COLOURS,
    LARGE,
    SHAPES,
    Scene,
    Shape,
    caption_of,
    cell_of,
    named,
    place_of,
    sentence,
)

NOTHING = "There is nothing."
UNKNOWN = "I can't tell."
YES_OR_NO = " Answer yes or no."
DESCRIBE_PROMPT = "Describe what you see in one short sentence."
MORE_PROMPT = "Describe everything that you see in detail."

REGIONS: dict[str, tuple[int | None, int | None]] = {  # words: column and row, None for any
    "on the left": (0, None),
    "on the right": (2, None),
    "at the top": (None, 0),
    "at the bottom": (None, 2),
    "in the center": (1, 1),
    "in the middle": (1, 1),
    "at the top left": (0, 0),
    "at the top right": (2, 0),
    "at the bottom left": (0, 2),
    "at the bottom right": (2, 2),
}


Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Question:
    """`before`: the question and the answer that came earlier in the same conversation."""

    text: str
    answer: str
    before: tuple[str, str] | None = None


@dataclass(frozen=True)
class Wanted:
    """What is asked for: a colour, a kind, a region of the picture; None where any will do."""

    colour: str | None = None
    kind: str | None = None
    region: str | None = None

    def found(self, scene: Scene) -> list[Shape]:
        """Those shapes of `scene` that are like this."""
        return [shape for shape in scene.shapes if self._fits(shape)]

    def _fits(self, shape: Shape) -> bool:
        column, row = REGIONS[self.region] if self.region else (None, None)
        at = cell_of(shape.x, shape.y)
        return (
            self.colour in (None, shape.colour)
            and self.kind in (None, shape.kind)
            and column in (None, at[0])
            and row in (None, at[1])
        )

    def noun(self, rng: np.random.Generator) -> str:
        """A red circle, a red shape, something red, anything; without its region."""
        if self.kind is None and rng.random() < 0.6:
            word = "anything" if rng.random() < 0.5 else "something"
            return f"{word} {self.colour}" if self.colour else word
        words = [self.colour, self.kind or pick(rng, ("shape", "shape", "object", "thing"))]
        noun = " ".join(word for word in words if word)
        return noun if rng.random() < 0.1 else f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"

    def missing(self) -> str:
        """That there is none."""
        if self.region:
            return "There is nothing there."
        if self.kind:
            return f"There is no {self.colour + ' ' if self.colour else ''}{self.kind}."
        return f"There is nothing {self.colour}." if self.colour else NOTHING


def pick(rng: np.random.Generator, choices: Sequence[Choice]) -> Choice:
    """One of `choices`."""
    return choices[int(rng.integers(len(choices)))]


def spelled(rng: np.random.Generator, text: str) -> str:
    """`text` with "colour" as some spell it."""
    return text.replace("colour", "color") if rng.random() < 0.5 else text


def together(words: Sequence[str]) -> str:
    """Words as an answer: one, or two with "and", the same one once."""
    return sentence(" and ".join(dict.fromkeys(words)))


# ---------------------------------------------------------------------------------------- questions


def subject(rng: np.random.Generator, scene: Scene, without: str) -> tuple[str, Wanted]:
    """What a question is about, in words that don't tell what is asked, `without`: it, the circle,
    the red one, the one on the left; now and then such as is not there."""
    chance = rng.random()
    if chance < 0.4 or not scene.shapes:
        return str(pick(rng, ("it", "it", "the shape", "the object"))), Wanted()
    shape = pick(rng, scene.shapes)
    if rng.random() < 0.12:
        shape = replace(shape, kind=pick(rng, SHAPES), colour=pick(rng, list(COLOURS)))
    if chance < 0.65 and without != "region":
        region = pick(rng, regions_of(shape))
        word = pick(rng, ("one", "one", "shape", "thing"))
        return f"the {word} {region}", Wanted(region=region)
    if without == "colour":
        return f"the {shape.kind}", Wanted(kind=shape.kind)
    if without == "kind":
        word = pick(rng, ("one", "shape", "thing"))
        return f"the {shape.colour} {word}", Wanted(shape.colour)
    if rng.random() < 0.5:
        return f"the {shape.colour} {shape.kind}", Wanted(shape.colour, shape.kind)
    return f"the {shape.kind}", Wanted(kind=shape.kind)


def regions_of(shape: Shape) -> list[str]:
    """The words for where it is, the wide ones, too."""
    return [name for name in REGIONS if Wanted(region=name).found(Scene(shape))]


def colours(shapes: Sequence[Shape]) -> str:
    return together([shape.colour for shape in shapes])


def kinds(shapes: Sequence[Shape]) -> str:
    if len(shapes) == 2 and shapes[0].kind == shapes[1].kind:
        return f"Two {shapes[0].kind}s."
    return together([f"a {shape.kind}" for shape in shapes])


def places(shapes: Sequence[Shape]) -> str:
    return together([place_of(shape.x, shape.y) for shape in shapes])


def about(
    rng: np.random.Generator, scene: Scene, without: str, wordings: Sequence[str], answer: Callable
) -> Question:
    """A question in one of `wordings` about what some words point at."""
    words, wanted = subject(rng, scene, without)
    text = spelled(rng, pick(rng, wordings).format(words))
    if not scene.shapes:
        return Question(text, NOTHING)
    found = wanted.found(scene)
    return Question(text, answer(found) if found else wanted.missing())


COLOUR_WORDINGS = (
    "What colour is {}?",
    "What colour is {}?",
    "Which colour is {}?",
    "What is the colour of {}?",
    "What colour does {} have?",
    "Tell me the colour of {}.",
    "Answer in one word: what colour is {}?",
)
SHAPE_WORDINGS = (
    "What shape is {}?",
    "What shape is {}?",
    "Which shape is {}?",
    "What kind of shape is {}?",
    "What is the shape of {}?",
    "Tell me the shape of {}.",
)
PLACE_WORDINGS = (
    "Where is {}?",
    "Where is {}?",
    "Where do you see {}?",
    "Where can I find {}?",
    "Tell me where {} is.",
    "In which place is {}?",
)
REGION_WORDINGS = ("What is {}?", "What is {}?", "What do you see {}?", "What can you see {}?")
NUMBER_WORDINGS = (
    "How many {} are there?",
    "How many {} are there?",
    "How many {} do you see?",
    "How many {} can you see?",
    "How many {} are on the wall?",
    "Count the {}.",
)
MORE_WORDINGS = (MORE_PROMPT,) * 4 + (
    "Describe everything in detail.",
    "Tell me everything that you see.",
    "Describe the scene in detail.",
)


def ask_colour(rng: np.random.Generator, scene: Scene) -> Question:
    return about(rng, scene, "colour", COLOUR_WORDINGS, colours)


def ask_shape(rng: np.random.Generator, scene: Scene) -> Question:
    return about(rng, scene, "kind", SHAPE_WORDINGS, kinds)


def ask_where(rng: np.random.Generator, scene: Scene) -> Question:
    return about(rng, scene, "region", PLACE_WORDINGS, places)


def ask_what(rng: np.random.Generator, scene: Scene) -> Question:
    """What is in some region."""
    shapes = scene.shapes
    region = pick(rng, list(REGIONS))
    if shapes and rng.random() < 0.7:
        region = pick(rng, regions_of(pick(rng, shapes)))
    text = pick(rng, REGION_WORDINGS).format(region)
    found = Wanted(region=region).found(scene)
    if not shapes:
        return Question(text, NOTHING)
    return Question(text, together([named(shape) for shape in found] or ["nothing"]))


def ask_number(rng: np.random.Generator, scene: Scene) -> Question:
    words = pick(rng, ("shapes", "shapes", "objects", "things"))
    wanted = Wanted()
    if rng.random() < 0.4:
        shape = pick(rng, scene.shapes) if scene.shapes else None
        if shape is not None and rng.random() < 0.6:
            kind, colour = shape.kind, shape.colour
        else:
            kind, colour = pick(rng, SHAPES), pick(rng, list(COLOURS))
        wanted = Wanted(kind=kind) if rng.random() < 0.5 else Wanted(colour=colour)
        words = f"{kind}s" if wanted.kind else f"{colour} {words}"
    text = pick(rng, NUMBER_WORDINGS).format(words)
    if not scene.shapes:
        return Question(text, NOTHING)
    return Question(text, ("None.", "One.", "Two.")[len(wanted.found(scene))])


def ask_more(rng: np.random.Generator, scene: Scene) -> Question:
    shapes = scene.shapes
    told = [f"There is {named(shape)} {place_of(shape.x, shape.y)}." for shape in shapes]
    if len(shapes) == 1:
        told.append("It is large." if shapes[0].radius >= LARGE else "It is small.")
    return Question(pick(rng, MORE_WORDINGS), " ".join([*(told or [NOTHING]), "The wall is grey."]))


# --------------------------------------------------------------------------------------- yes and no

STRANGE = (  # what no scene of the grammar shows
    "a cat", "a dog", "a person", "a man", "a woman", "a child", "a face", "a hand", "a car",
    "a door", "a window", "a chair", "a table", "a cup", "a bottle", "a phone", "a book", "a bird",
    "a tree", "a bag", "a key", "a screen", "a letter", "a sign", "a light", "a ring", "a cross",
    "a heart", "a crescent", "an arrow", "anybody", "somebody", "somebody there", "any text",
    "a package", "a bed", "food", "fire", "smoke", "water", "a pink circle", "a brown square",
)  # fmt: skip
STRANGE_SENTENCES = (
    "somebody is at the door", "a person is in view", "the door is open", "it is raining",
    "a cat is on the table", "the light is on", "the dog is here", "somebody is sitting there",
    "the window is closed", "the water is boiling", "a car is outside", "my child is asleep",
    "somebody is waving", "the cup is empty", "there is a letter", "the bus is coming",
)  # fmt: skip


def ask_yes_or_no(rng: np.random.Generator, scene: Scene) -> Question:
    yes = bool(rng.random() < 0.5)
    if scene.shapes and rng.random() < 0.15:
        question = ask_about_it(rng, scene, yes)
    elif not yes and rng.random() < 0.2:
        question = ask_for_strange_things(rng)
    else:
        wanted = random_wanted(rng, scene, yes)
        text = word_wanted(rng, wanted)
        question = Question(text, "Yes." if wanted.found(scene) else "No.")
    ending = YES_OR_NO if rng.random() < 0.75 else ""
    return replace(question, text=question.text + ending)


def random_wanted(rng: np.random.Generator, scene: Scene, yes: bool) -> Wanted:
    """What is there; or not, though as a rule it differs in one thing from what is."""
    if not scene.shapes:
        yes = False
    for _ in range(100):
        shape = pick(rng, scene.shapes) if scene.shapes else None
        colour, kind = pick(rng, list(COLOURS)), pick(rng, SHAPES)
        region = pick(rng, list(REGIONS))
        if shape is not None and (yes or rng.random() < 0.85):
            changed = -1 if yes else int(rng.integers(3))
            colour = colour if changed == 0 else shape.colour
            kind = kind if changed == 1 else shape.kind
            region = region if changed == 2 else pick(rng, regions_of(shape))
            if not yes and len(scene.shapes) == 2 and rng.random() < 0.3:  # one's, other's
                one, other = scene.shapes if rng.random() < 0.5 else scene.shapes[::-1]
                colour, kind, region = one.colour, other.kind, pick(rng, regions_of(one))
        asked = pick(
            rng,
            ("ck", "ck", "ck", "ck", "c", "k", "c", "k", "ckr", "ckr", "kr", "kr", "cr", "r", ""),
        )
        wanted = Wanted(
            colour if "c" in asked else None,
            kind if "k" in asked else None,
            region if "r" in asked else None,
        )
        if bool(wanted.found(scene)) is yes:
            return wanted
    return Wanted()


def word_wanted(rng: np.random.Generator, wanted: Wanted) -> str:
    noun = wanted.noun(rng)
    where = f" {wanted.region}" if wanted.region else ""
    if rng.random() < 0.6:
        form = pick(rng, ("Is there {}{}?",) * 4 + ("Do you see {}{}?", "Can you see {}{}?"))
        return form.format(noun, where)
    forms: tuple[str, ...] = ("there is {}{}", "I can see {}{}")
    forms += ("{} is{}",) * 4 if where else ("{} is in view", "{} is there", "{} is on the wall")
    return f"Is it true that {pick(rng, forms).format(noun, where)}?"


def ask_about_it(rng: np.random.Generator, scene: Scene, yes: bool) -> Question:
    """Is it red? Is the circle on the left? Of a single shape, or one alone of its kind."""
    shape = pick(rng, scene.shapes)
    alone = len(scene.shapes) == 1
    if not alone and len(Wanted(kind=shape.kind).found(scene)) == 2:
        return ask_about_number(rng, scene)
    words = pick(rng, ("it", "the shape", f"the {shape.kind}") if alone else (f"the {shape.kind}",))
    region = pick(rng, regions_of(shape) if yes else list(REGIONS))
    said = [
        (shape.colour if yes else pick(rng, list(COLOURS)), "colour"),
        (region, "region"),
    ]
    if words in ("it", "the shape"):
        said.append((f"a {shape.kind if yes else pick(rng, SHAPES)}", "kind"))
    what, aspect = said[int(rng.integers(len(said)))]
    value = what[2:] if aspect == "kind" else what
    truth = bool(Wanted(**{aspect: value}).found(Scene(shape)))
    text = f"Is {words} {what}?"
    if rng.random() < 0.4:
        text = f"Is it true that {words} is {what}?"
    return Question(text, "Yes." if truth else "No.")


def ask_about_number(rng: np.random.Generator, scene: Scene) -> Question:
    count = int(rng.integers(1, 3))
    noun = "one shape" if count == 1 else pick(rng, ("two shapes", "two objects"))
    verb = "is" if count == 1 else "are"
    text = pick(
        rng, (f"{verb.capitalize()} there {noun}?", f"Is it true that there {verb} {noun}?")
    )
    return Question(text, "Yes." if len(scene.shapes) == count else "No.")


def ask_for_strange_things(rng: np.random.Generator) -> Question:
    if rng.random() < 0.35:
        return Question(f"Is it true that {pick(rng, STRANGE_SENTENCES)}?", "No.")
    form = pick(rng, ("Is there {}?",) * 4 + ("Do you see {}?", "Can you see {}?"))
    return Question(form.format(pick(rng, STRANGE)), "No.")


# --------------------------------------------------------------------------- what it can't know

WHO = ("he", "she", "that", "this", "this person", "the person", "that man", "that woman")
WHOSE = ("his", "her", "their", "your", "my", "the person's", "the man's", "the dog's")
UNKNOWABLE = (
    ("What is {} name?", WHOSE), ("What's {} name?", WHOSE), ("How old is {}?", WHO),
    ("Who is {}?", WHO), ("What age is {}?", WHO), ("How tall is {}?", WHO),
    ("Where does {} live?", WHO), ("What is {} doing?", WHO), ("What is {} wearing?", WHO),
    ("What is {} saying?", WHO), ("Why is {} here?", WHO), ("How does {} feel?", WHO),
    ("Is {} happy?", WHO[:2]), ("What is {} age?", WHOSE), ("What is {} job?", WHOSE),
    ("What {} is it?", ("time", "day", "year", "month", "season", "date")),
    ("What does {} say?", ("the text", "the sign", "the label", "the letter", "the screen",
                           "it", "the book", "the note", "he", "she")),
    ("Read the {}.", ("text", "sign", "label", "letter", "screen", "note", "words")),
    ("What is written {}?", ("there", "here", "on it", "on the sign", "on the label")),
    ("How much {}?", ("is it", "does it cost", "does it weigh", "money is that")),
    ("How {} is it?", ("heavy", "old", "warm", "cold", "far away", "expensive")),
    ("What is the {}?", ("weather", "temperature", "price", "time", "date", "name", "address",
                         "phone number", "title")),
    ("Where {}?", ("am I", "are we", "are you", "is he", "is she", "was this taken",
                   "are my keys")),
    ("Who {}?", ("are you", "made this", "is there", "took this picture", "am I")),
    ("When {}?", ("was this taken", "is it", "does the bus come", "was that")),
    ("Why {}?", ("is it there", "is that", "is it so", "do you say that")),
    ("Which {} is this?", ("country", "city", "street", "room", "brand", "bus")),
    ("What is it made of?", ("",)), ("What is behind {}?", ("it", "the wall", "the camera")),
    ("Will {}?", ("it rain", "it move", "it fall", "it be warm", "it snow", "he come", "she call",
                  "the bus be late", "that hold", "they win")),
    ("Tell me {}.", ("the time", "the price", "his name", "her age", "the date", "who he is",
                     "what she said", "the way home", "your name", "the weather")),
    ("What is {} price?", ("its", "the full", "their", "the old")),
)  # fmt: skip
HELD_OUT = frozenset({
    "What is her name?", "What's the man's name?", "How old is she?", "What does the label say?",
    "Who is that?", "What time is it?", "Who is this person?", "Where does he live?",
    "What is that man doing?", "What is she wearing?", "How tall is that woman?", "Where are we?",
    "What is the price?", "What year is it?", "How heavy is it?", "Read the sign.",
    "What is written here?", "Who made this?", "When was this taken?", "Which city is this?",
    "How does she feel?", "What is your job?", "How much does it cost?", "What is the weather?",
    "Why is it there?", "What is behind the wall?", "What age is the person?", "Will it rain?",
    "What does the note say?", "What is his age?",
})  # fmt: skip


def every_unknowable() -> list[str]:
    return sorted({form.format(word) for form, words in UNKNOWABLE for word in words})


def ask_unknowable(
    rng: np.random.Generator, scene: Scene, choices: Sequence[str] | None = None
) -> Question:
    choices = choices or [text for text in every_unknowable() if text not in HELD_OUT]
    return Question(pick(rng, choices), UNKNOWN)


# --------------------------------------------------------------------------------------- follow-ups

FOLLOW_UPS = {
    "colour": ("And what colour?", "And its colour?", "What colour is it?", "And the colour?",
               "And what colour is it?", "And which colour?"),
    "kind": ("And what shape?", "And its shape?", "What shape is it?", "And the shape?",
             "And what shape is it?", "And which shape?"),
    "region": ("And where?", "And where is it?", "Where is it?", "And its place?",
               "And where exactly?", "Where exactly?"),
}  # fmt: skip
ANSWERS = {"colour": colours, "kind": kinds, "region": places}


def ask_follow_up(rng: np.random.Generator, scene: Scene) -> Question:
    """A short question about the shape that an earlier one spoke of; now and then without such a
    one, and then about all that is there."""
    aspect = pick(rng, list(FOLLOW_UPS))
    text = spelled(rng, pick(rng, FOLLOW_UPS[aspect]))
    if not scene.shapes:
        return Question(text, NOTHING, (DESCRIBE_PROMPT, caption_of(scene)))
    everything = Question(text, ANSWERS[aspect](scene.shapes))
    if rng.random() < 0.15:
        return everything
    for _ in range(20):
        shape = pick(rng, scene.shapes)
        wanted, first = first_turn(rng, shape, aspect)
        if wanted.found(scene) == [shape]:
            return Question(text, ANSWERS[aspect]([shape]), first)
    return replace(everything, before=(DESCRIBE_PROMPT, caption_of(scene)))


def first_turn(
    rng: np.random.Generator, shape: Shape, aspect: str
) -> tuple[Wanted, tuple[str, str]]:
    """A question about `shape` that does not ask for its `aspect`, with its answer, and what it
    points at."""
    way = pick(rng, [name for name in (*ANSWERS, "what", "there") if name != aspect])
    told = Wanted(shape.colour, shape.kind, pick(rng, regions_of(shape)))
    if way == "what" and aspect == "region":
        way = "there"
    if way == "what":
        text = pick(rng, REGION_WORDINGS).format(told.region)
        return replace(told, colour=None, kind=None), (text, sentence(named(shape)))
    if way == "there":
        asked = replace(told, region=None, **({aspect: None} if aspect != "region" else {}))
        return asked, (f"Is there {asked.noun(rng)}?", "Yes.")
    # What is asked first is one aspect, by what is neither it nor the one that follows.
    by = next(name for name in ("kind", "colour", "region") if name not in (way, aspect))
    value = getattr(told, by)
    words = {"kind": f"the {value}", "colour": f"the {value} one", "region": f"the one {value}"}[by]
    wordings = {"colour": COLOUR_WORDINGS, "kind": SHAPE_WORDINGS, "region": PLACE_WORDINGS}[way]
    return Wanted(**{by: value}), (
        spelled(rng, pick(rng, wordings).format(words)),
        ANSWERS[way]([shape]),
    )


def ask_caption(rng: np.random.Generator, scene: Scene) -> Question:
    return Question(DESCRIBE_PROMPT, caption_of(scene))


KINDS: dict[str, Callable[[np.random.Generator, Scene], Question]] = {
    "caption": ask_caption,
    "colour": ask_colour,
    "shape": ask_shape,
    "where": ask_where,
    "what": ask_what,
    "how many": ask_number,
    "yes or no": ask_yes_or_no,
    "can't know": ask_unknowable,
    "more": ask_more,
    "follow-up": ask_follow_up,
}
