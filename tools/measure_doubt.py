"""Measures how well the program knows when it is wrong, and prints tables: `python
tools/measure_doubt.py`; --help lists what can be chosen.

Of the small checkpoint's captions a third is of scenes as trained, a third of badly seen ones, a
third of such as its grammar has no caption for (tests/support/doubtful_scenes.py). A caption is
wrong if it is not the scene's only true one; where there is no such, if it names a coloured shape
that is not there, or says that the wall is empty. The program's own code tells how sure a sentence
is and what a second look at the next frame makes of it; the other ways are told to compare: looking
closer, at the same, in a mirror, both, in other words; sampling a second caption (drawn by chance
from the probabilities of the first one's words, which is how often it would name the same); and
asking the caption back, yes or no.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

sys.path.extend(str(Path(__file__).resolve().parents[1] / part) for part in (".", "tests"))

from narrator.doubt import Sentence, is_below, named, rated, weighed
from narrator.engines.choice import choose_engine, open_engine
from narrator.engines.engine import Engine, Piece
from narrator.frames.frame import Frame
from narrator.models.presets import IN_VIEW, SURE
from narrator.settings import DEFAULT_PROMPT
from support.doubtful_scenes import Doubtful, hard_scene, strange_scene, usual_scene
from support.program import TINY

SEED = 7654321
MAX_TOKENS = 32
CAPTIONS_A_MINUTE = 12
OTHER_PROMPT = "What do you see?"
TARGETS = (0.8, 0.05)  # of wrong captions at least, of right ones at most
GROUPS = {"as trained": usual_scene, "hard": hard_scene, "outside": strange_scene}

# Measures of how sure a caption is: from its sentences and its pieces.
Measure = Callable[[list[Sentence], list[Piece]], float]
MEASURES: dict[str, Measure] = {
    "least likely word that names": lambda said, _: min(one.confidence or 0.0 for one in said),
    "product of words that name": lambda _, pieces: float(
        np.prod([piece.probability or 0.0 for piece in pieces if named(piece.text)])
    ),
    "least likely token": lambda _, pieces: min(piece.probability or 0.0 for piece in pieces),
    "mean of tokens (geometric)": lambda _, pieces: float(
        np.exp(np.mean([np.log(max(piece.probability or 0.0, 1e-9)) for piece in pieces]))
    ),
    "product of tokens": lambda _, pieces: float(
        np.prod([piece.probability or 0.0 for piece in pieces])
    ),
}


@dataclass
class Look:
    """A caption, and how it looked the second time, by the way of looking."""

    group: str
    scene: Doubtful
    said: list[Sentence]
    pieces: list[Piece]
    right: bool
    again: dict[str, str]
    sampled: bool  # whether a caption drawn by chance would name something else
    yes: float  # the answer to "Is there ...?" with the caption's words


def closer(frame: Frame) -> Frame:
    return frame.closer()


def mirrored(frame: Frame) -> Frame:
    return Frame(np.ascontiguousarray(frame.image[:, ::-1]), frame.taken, frame.at)


def swapped(text: str) -> str:
    """What is said of a mirrored picture, as it is true of the picture."""
    return text.replace("left", "\0").replace("right", "left").replace("\0", "right")


def describe(engine: Engine, frame: Frame, prompt: str = DEFAULT_PROMPT) -> list[Piece]:
    return list(engine.describe([frame], prompt, MAX_TOKENS))


def text_of(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces).strip()


def look(engine: Engine, group: str, scene: Doubtful) -> Look:
    """Have a scene described, and once more in all ways."""
    first, second = (Frame(image, at, at) for at, image in enumerate(scene.frames))
    pieces = describe(engine, first)
    again = {
        "closer": text_of(describe(engine, closer(second))),
        "the same": text_of(describe(engine, second)),
        "mirrored": swapped(text_of(describe(engine, mirrored(second)))),
        "both": swapped(text_of(describe(engine, closer(mirrored(second))))),
        "other words": text_of(describe(engine, second, OTHER_PROMPT)),
    }
    right = scene.is_true(text_of(pieces))
    said = list(rated(pieces))
    same = MEASURES["product of words that name"](said, pieces)
    sampled = bool(np.random.default_rng(int(1e9 * same)).random() > same)
    yes = asked_back(engine, second, text_of(pieces))
    return Look(group, scene, said, pieces, right, again, sampled, yes)


def asked_back(engine: Engine, frame: Frame, caption: str) -> float:
    """How likely yes is, of the least likely thing that the caption names; 1 where that is none."""
    things = [thing for thing in caption.rstrip(".").split(" and ") if "wall" not in thing]
    asked = [f"Is there {thing[:1].lower()}{thing[1:]}? Answer yes or no." for thing in things]
    found = engine.likelihoods(frame, asked) if asked else []
    return min((0.0 if one is None else one for one in found), default=1.0)


def area(sure: np.ndarray, right: np.ndarray) -> float:
    """Area under the ROC curve: how likely a right caption is surer than a wrong one."""
    higher = sure[right][:, None] - sure[~right][None]
    return float(((higher > 0) + 0.5 * (higher == 0)).mean())


def differs(said: Sequence[Sentence], again: str) -> bool:
    """Whether a second look names something else."""
    return not {word for one in said for word in named(one.text)} <= set(named(again))


def is_asked(look: Look) -> bool:
    """Whether the program looks twice."""
    return any(is_below(SURE, sentence) for sentence in look.said)


def is_doubted(look: Look) -> bool:
    """Whether the program hedges or withholds some of it."""
    return any(one.hedged for one in weighed(look.said, lambda: look.again["closer"]))


def shares(doubted: np.ndarray, right: np.ndarray) -> str:
    wrong = doubted[~right].mean() if (~right).any() else float("nan")
    kept = doubted[right].mean() if right.any() else float("nan")
    return f"{wrong:6.1%} of wrong, {kept:5.1%} of right"


def best_level(
    sure: np.ndarray, differing: np.ndarray, right: np.ndarray
) -> tuple[float, np.ndarray]:
    """The highest level at which at most TARGETS[1] of the right captions are doubted."""
    best = 0.0, np.zeros_like(right)
    for level in sorted({*sure.tolist(), 1.1}):
        doubted = (sure < level) & differing
        if doubted[right].mean() <= TARGETS[1]:
            best = level, doubted
    return best


def best_levels(
    sure: np.ndarray, differing: np.ndarray, right: np.ndarray
) -> tuple[float, float, np.ndarray]:
    """Two levels: doubted below the first one, and where a second look differs below the second
    one, too; with at most TARGETS[1] of the right captions doubted, and most of the wrong ones."""
    best = 0.0, 0.0, np.zeros_like(right)
    levels = np.unique(np.append(sure, 1.1))
    for low in levels:
        if (sure < low)[right].mean() > TARGETS[1]:
            break
        for high in levels[levels >= low]:
            doubted = (sure < low) | ((sure < high) & differing)
            if doubted[right].mean() > TARGETS[1]:
                break
            if doubted[~right].sum() > best[2][~right].sum():
                best = float(low), float(high), doubted
    return best


def report(looks: list[Look]) -> None:
    right = np.array([one.right for one in looks])
    print("\nCaptions         right  wrong   hedged or withheld by the program")
    doubted = np.array([is_doubted(one) for one in looks])
    groups = {name: np.array([one.group == name for one in looks]) for name in GROUPS}
    kinds = {what: np.array([one.scene.what == what for one in looks])
             for what in dict.fromkeys(one.scene.what for one in looks)}  # fmt: skip
    for name, chosen in {**groups, **kinds, "all": np.ones_like(right)}.items():
        told = shares(doubted[chosen], right[chosen])
        print(f"{name:24} {right[chosen].sum():5} {(~right[chosen]).sum():6}   {told}")
    asked = np.array([is_asked(one) for one in looks])
    print(f"\nSURE = {SURE}: looked at twice {asked.mean():.1%}; by the probability alone, "
          f"{shares(asked, right)} would be hedged")  # fmt: skip
    print("\nHow sure, right against wrong          area under the ROC curve")
    sure = {
        name: np.array([measure(one.said, one.pieces) for one in looks])
        for name, measure in MEASURES.items()
    }
    sure["yes to the caption asked back"] = np.array([one.yes for one in looks])
    for name, values in sure.items():
        print(f"{name:38} {area(values, right):.3f}")
    print(f"\nDoubted where at most {TARGETS[1]:.0%} of the right ones may be: level, shares")
    ways = {way: np.array([differs(one.said, one.again[way]) for one in looks])
            for way in looks[0].again}  # fmt: skip
    ways |= {
        "sampled": np.array([one.sampled for one in looks]),
        "asked back": np.array([one.yes < IN_VIEW for one in looks]),
        "closer, and mirrored": ways["closer"] | ways["mirrored"],
    }
    everything = np.ones_like(right)
    for name, values in sure.items():
        level, doubts = best_level(values, everything, right)
        print(f"{name:40} below {level:.4f}        : {shares(doubts, right)}")
    values = sure["least likely word that names"]
    for way, differing in ways.items():
        print(f"{way}, alone".ljust(64) + f": {shares(differing, right)}")
        level, doubts = best_level(values, differing, right)
        print(f"{way + ', and unlikely':40} below {level:.4f}        : {shares(doubts, right)}")
        low, high, doubts = best_levels(values, differing, right)
        print(f"{way + ', or unlikely':40} below {low:.4f}, {high:.4f}: {shares(doubts, right)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=TINY, help="the checkpoint (%(default)s)")
    parser.add_argument("--engine", default="torch", help="default: %(default)s")
    parser.add_argument("--bits", type=int, help="of the weights (default: the engine's)")
    parser.add_argument("--scenes", type=int, default=300, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=SEED, help="of the scenes (%(default)s)")
    parser.add_argument("--show", action="store_true", help="print each caption, too")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as cache:
        choice = choose_engine(options.engine, options.bits)
        engine = open_engine(choice, str(options.folder), Path(cache))
        print(engine.label)
        looks = []
        for group, draw_one in GROUPS.items():
            for _ in range(options.scenes // len(GROUPS)):
                looks.append(look(engine, group, draw_one(rng)))
                if options.show:
                    one = looks[-1]
                    print(one.scene.what, one.right, one.said, one.again)
        started = time.monotonic()
        for one in looks[:20]:
            describe(engine, Frame(one.scene.frames[1], 0.0, 0.0).closer())
        second_s = (time.monotonic() - started) / 20
    report(looks)
    print(f"\nA second look takes {second_s:.3f} s here; of {CAPTIONS_A_MINUTE} captions a minute:")
    for groups in (("as trained",), tuple(GROUPS)):
        asked = np.mean([is_asked(one) for one in looks if one.group in groups])
        cost = asked * CAPTIONS_A_MINUTE * second_s
        print(f"  {', '.join(groups)}: {asked:.1%} are asked twice, {cost:.2f} s a minute")


if __name__ == "__main__":
    main()
