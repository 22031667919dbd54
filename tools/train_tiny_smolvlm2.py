"""Train the small SmolVLM2 checkpoint in tests/tiny_smolvlm2/ from nothing, and measure it.

The result has the file layout, the architecture and the configuration keys of
HuggingFaceTB/SmolVLM2-256M-Video-Instruct at less than a fiftieth of its size. It describes drawn
scenes and clips (tests/support/drawn_scenes.py) in one sentence, and answers the questions of
tiny_training/questions.py; what is no such question gets the description, what no picture can
tell "I can't tell." Nothing in it comes from a trained model.

Stages, in order: scenes are drawn once and squashed to the vision tower's square; the eyes (vision
tower and connector) learn kind, colour, place and outline from those through a head that is thrown
away afterwards; then the whole model learns to answer. Each batch moves, mirrors and relights its
pictures, so that few are seen twice. In every other step the language weights are rounded as mlx's
4-bit conversion will round them, so that the answers survive it.

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

The checkpoint was made in several runs, each from what the last one had left; its tokenizer, a
byte-level BPE with the grammar's words in one token each, and the clip of --demo are kept as they
are. The defaults do about as much in one go from nothing, which nobody has tried. Yes or no is read
from one token each, " Yes" and " No".

    .venv/bin/python tools/train_tiny_smolvlm2.py     # train, write tests/tiny_smolvlm2, evaluate
    .venv/bin/python tools/train_tiny_smolvlm2.py --evaluate-only --engine mlx-4    # or openvino-8

scenes and clips: so many are drawn. eyes_steps, steps, word_steps: of the three stages. tests:
held-out questions of each kind.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from pathlib import Path

import cv2
import torch
from tokenizers import Tokenizer

from measuring import read_options
from support.program import TINY
from tiny_training.checkpoint import fresh_model, write_layout, write_weights
from tiny_training.evaluation import evaluate, open_tested
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


def train(options: argparse.Namespace) -> None:
    """Make the checkpoint in `options.folder`."""
    torch.manual_seed(TRAIN_SEED)
    torch.set_num_threads(multiprocessing.cpu_count())
    cv2.setNumThreads(1)  # its pictures are too small to share out
    write_layout(options.folder)
    tokenizer = Tokenizer.from_file(str(options.folder / "tokenizer.json"))
    model = fresh_model(options.folder)
    pool = draw_pool(options.scenes, TRAIN_SEED)
    bad = draw_pool(options.scenes // 4, TRAIN_SEED + 4, draw_badly_seen)
    mixed = draw_pool(options.scenes // 4, TRAIN_SEED + 5, draw_mixed)
    print("drawn", flush=True)
    head = Eyes(model.config.text_config.hidden_size)
    trainer = Trainer(model, head, pool, bad, mixed, options.batch, TRAIN_SEED)
    train_eyes(trainer, options.eyes_steps, peak=1e-3)
    train_all(trainer, tokenizer, options.steps, peak=5e-4)
    write_weights(options.folder, model)
    pools = {
        "stills": see_pool(model, pool),
        "clips": see_drawn(model, draw_clips, options.clips, TRAIN_SEED + 2),
        "details": see_drawn(model, draw_details, options.clips // 2, TRAIN_SEED + 2),
        "badly seen": see_pool(model, bad),
        "mixed": see_pool(model, mixed, READINGS),
    }
    del pool, bad, mixed, trainer
    train_words(model, tokenizer, pools, options.word_steps, TRAIN_SEED)
    write_weights(options.folder, model)


def main() -> None:
    options = read_options(
        __doc__, folder=TINY, evaluate_only=False, engine="torch", tests=300, scenes=24000,
        eyes_steps=6500, steps=2500, clips=9400, word_steps=5000, batch=32,
    )  # fmt: skip
    if not options.evaluate_only:
        train(options)
    with tempfile.TemporaryDirectory() as cache:
        engine = open_tested(options.engine, options.folder, Path(cache))
        print(engine.label)
        evaluate(engine, options.tests)


if __name__ == "__main__":
    main()
