"""Train the small SmolVLM2 checkpoint in tests/tiny_smolvlm2/ from nothing, and measure it.

The result has the file layout, the architecture and the configuration keys of
HuggingFaceTB/SmolVLM2-256M-Video-Instruct at less than a fiftieth of its size. It describes drawn
scenes and clips (tests/support/drawn_scenes.py) in one sentence, and answers the questions of
tests/support/drawn_questions.py; what is no such question gets the description, what no picture can
tell "I can't tell." Nothing in it comes from a trained model.

Stages, in order: a tokenizer is built; scenes are drawn once and squashed to the vision tower's
square; the eyes (vision tower and connector) learn kind, colour, place and outline from those
through a head that is thrown away afterwards; then the whole model learns to answer. Each batch
moves, mirrors and relights its pictures, so that few are seen twice. In every other step the
language weights are rounded as mlx's 4-bit conversion will round them, so that the answers survive
it.

From the second stage on a fifth of the pictures is badly seen, and a fifth is mixed from several
scenes (tiny_training/mixing.py), each of which is the answer as often as it shows. That teaches no
answer but doubt: what is like several things gets a low probability.

The last stage teaches the language model alone, on image tokens that the eyes made once: to find
what is asked for among two shapes, what moves where in clips of two to four frames, and pictures
in tiles. What it is to find is learned late and at once, mostly from hard questions, and not while
weights are rounded.

What helped the eyes to learn within minutes on two cores, each seen in a short trial: the largest
shapes first, image tokens that all vote on the kind, a patch embedding that starts from smooth
cosines, and Muon for the matrices.

How the checkpoint in tests/tiny_smolvlm2 was made: in several runs, each from what the last one had
left, the first of single shapes and clips alone. In the last run --continue-from went on from one
with a layer less: 2400 steps of the second stage (19 minutes on two cores), then 4500 of the last
one (31 minutes), and 15 minutes to draw and to look. The defaults below do about as much in one go
from nothing, which nobody has tried. Yes or no is read from one token each, " Yes" and " No".

    python tools/train_tiny_smolvlm2.py                     # train, write tests/tiny_smolvlm2
    python tools/train_tiny_smolvlm2.py --evaluate-only --engine torch mlx mlx-4 openvino

It needs what requirements.txt lists, and torch.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from pathlib import Path

import cv2
import torch
from tokenizers import Tokenizer

sys.path.extend(str(Path(__file__).resolve().parents[1] / part) for part in (".", "tests"))

from support.drawn_scenes import write_demo_clip
from support.program import TINY
from tiny_training.checkpoint import (
    build_tokenizer,
    grown_model,
    load_model,
    with_words,
    write_layout,
    write_weights,
)
from tiny_training.evaluation import TESTED, evaluate, evaluate_follow_ups, open_tested
from tiny_training.eyes import Eyes
from tiny_training.pictures import (
    READINGS,
    draw_badly_seen,
    draw_clips,
    draw_details,
    draw_mixed,
    draw_pool,
)
from tiny_training.whole import Trainer, train_all, train_eyes
from tiny_training.words import see_drawn, see_pool, train_words

TRAIN_SEED = 20


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder", type=Path, default=TINY, help="the checkpoint (default: %(default)s)"
    )
    parser.add_argument(
        "--work", type=Path, default=Path("tiny_training"), help="for weights so far (%(default)s)"
    )
    parser.add_argument("--evaluate-only", action="store_true", help="train nothing")
    parser.add_argument(
        "--engine",
        nargs="+",
        default=["torch"],
        help="to evaluate with: torch, mlx, mlx-4, mlx-8, openvino, openvino-8 (default: torch)",
    )
    parser.add_argument(
        "--kind", nargs="+", choices=TESTED, help="of question to evaluate on (default: all)"
    )
    parser.add_argument("--show-wrong", action="store_true", help="print the wrong answers")
    parser.add_argument(
        "--scenes", type=int, default=24000, help="scenes drawn for training (default: %(default)s)"
    )
    parser.add_argument(
        "--eyes-steps",
        type=int,
        default=6500,
        help="steps of the first stage (default: %(default)s)",
    )
    parser.add_argument(
        "--steps", type=int, default=2500, help="steps of the second stage (default: %(default)s)"
    )
    parser.add_argument(
        "--clips", type=int, default=9400, help="clips drawn for training (default: %(default)s)"
    )
    parser.add_argument(
        "--word-steps",
        type=int,
        default=5000,
        help="steps of the third stage (default: %(default)s)",
    )
    parser.add_argument(
        "--continue-from",
        type=Path,
        help="a checkpoint whose eyes are trained: do the other stages alone",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=multiprocessing.cpu_count(),
        help="to calculate in (default: %(default)s)",
    )
    parser.add_argument(
        "--batch", type=int, default=32, help="pictures a step (default: %(default)s)"
    )
    parser.add_argument(
        "--tests",
        type=int,
        default=300,
        help="held-out questions of each kind (default: %(default)s)",
    )
    return parser.parse_args()


def train(options: argparse.Namespace) -> None:
    """Make the checkpoint in `options.folder`."""
    torch.manual_seed(TRAIN_SEED)
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)  # its pictures are too small to share out
    options.work.mkdir(parents=True, exist_ok=True)
    if options.continue_from is None:
        tokenizer = build_tokenizer()
        write_layout(options.folder, tokenizer)
        write_demo_clip(options.folder / "demo.mp4")
        model = load_model(options.folder, fresh=True)
    else:
        first = Tokenizer.from_file(str(options.continue_from / "tokenizer.json"))
        tokenizer = with_words(first)
        write_layout(options.folder, tokenizer)
        model = grown_model(options.continue_from, tokenizer, options.folder)
    pool, unseen = draw_pool(options.scenes, TRAIN_SEED), draw_pool(1000, TRAIN_SEED + 1)
    bad = draw_pool(options.scenes // 4, TRAIN_SEED + 4, draw_badly_seen)
    mixed = draw_pool(options.scenes // 4, TRAIN_SEED + 5, draw_mixed)
    print("drawn", flush=True)
    head = Eyes(model.config.text_config.hidden_size)
    trainer = Trainer(
        model, head, pool, bad, mixed, unseen, options.work, options.batch, TRAIN_SEED
    )
    if options.continue_from is None:
        train_eyes(trainer, options.eyes_steps, peak=1e-3)
    train_all(trainer, tokenizer, options.steps, peak=5e-4)
    write_weights(options.folder, model)
    pools, unseen_pools = (
        {
            "stills": see_pool(model, stills),
            "clips": see_drawn(model, draw_clips, clips, seed),
            "details": see_drawn(model, draw_details, details, seed),
        }
        for stills, clips, details, seed in (
            (pool, options.clips, options.clips // 2, TRAIN_SEED + 2),
            (unseen, 200, 200, TRAIN_SEED + 3),
        )
    )
    pools |= {"badly seen": see_pool(model, bad), "mixed": see_pool(model, mixed, READINGS)}
    del pool, bad, mixed, trainer
    steps, rounding_from = options.word_steps, 0.3 if options.continue_from is None else 0.0
    train_words(
        model, tokenizer, pools, unseen_pools, steps, TRAIN_SEED, options.work, rounding_from
    )
    write_weights(options.folder, model)


def main() -> None:
    options = parse_arguments()
    if not options.evaluate_only:
        train(options)
    for name in options.engine:
        with tempfile.TemporaryDirectory() as cache:
            engine = open_tested(name, options.folder, Path(cache))
            print(f"{name}: {engine.label}")
            evaluate(engine, options.tests, options.kind or TESTED, options.show_wrong)
    if options.kind is None:
        evaluate_follow_ups(options.folder, options.tests)


if __name__ == "__main__":
    main()
