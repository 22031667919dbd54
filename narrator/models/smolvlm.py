"""What a model of the SmolVLM family is asked about a clip: token numbers and pixels, the same for
every engine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from narrator.errors import ModelError
from narrator.frames.frame import Frame
from narrator.models.folder import naming, read_config, read_json
from narrator.models.template import chat_template

MAX_SIDE = 4096  # pixels of a tile
MAX_TILES = 8  # in a row, and in a column


class SmolVlmInputs:
    """What transformers' SmolVLMProcessor makes (the tests compare them), without its import, which
    takes seconds, and with one resize where that has two.

    image_token: its number stands in a prompt for each feature of a tile; ends: end a caption.
    """

    def __init__(self, folder: Path) -> None:
        config = read_config(folder)
        self._read_sizes(folder, config)
        file, size = folder / "tokenizer.json", config["text_config"].get("vocab_size")
        with naming(file, folder / "config.json"):
            self.tokenizer = Tokenizer.from_file(str(file))
            fit(size is None or self.tokenizer.get_vocab_size() <= size)
            fit(self.tokenizer.token_to_id("<image>") == self.image_token)
        self.ends = end_tokens(folder, config, self.tokenizer)
        self._template = chat_template(folder)
        self._encoded = lru_cache(maxsize=32)(self._encode)
        with naming(Path(self._template.filename or folder)):
            self._encode(["What is that?"], (0, 0), (0,))  # so that a fault shows at once
        self._has_turns = False
        with contextlib.suppress(Exception):  # A template may be for one question alone.
            turns = ("Where?", "On the left.", "Why?")
            self._has_turns = all(turn in self._worded(turns, (0,)) for turn in turns)

    def _read_sizes(self, folder: Path, config: dict[str, Any]) -> None:
        """What is made of a picture, and how many tokens. Raises ModelError where that is not said,
        is out of range, or is not what the model of this config.json takes."""
        file = folder / "config.json"
        with naming(file):
            vision = config["vision_config"]
            side: int = vision["image_size"]
            self._image_tokens = (side // vision["patch_size"] // config["scale_factor"]) ** 2
            self.image_token: int = config["image_token_id"]
            fit(0 < side <= MAX_SIDE and self._image_tokens > 0)
        processor = read_json(folder / "processor_config.json")
        with naming(folder / "processor_config.json", file):
            fit(processor.get("image_seq_len", self._image_tokens) == self._image_tokens)
        # transformers 5 saves one file, where there were two.
        nested = processor.get("image_processor")
        name = "processor_config.json" if nested else "preprocessor_config.json"
        with naming(folder / name, file):
            picture = nested or read_json(folder / name)
            self._tile: int = picture["max_image_size"]["longest_edge"]  # pixels
            self._longest: int = picture["size"]["longest_edge"]
            mean, deviation = (
                np.broadcast_to(np.float32(picture[key]), 3) for key in ("image_mean", "image_std")
            )
            fit(self._tile == side and side <= self._longest <= MAX_TILES * side)
            fit(bool((deviation > 0).all() and np.isfinite(mean).all()))
            self._normal = mean, deviation

    def numbers(
        self,
        clip: Sequence[Frame],
        prompt: str,
        tiled: bool = False,
        before: tuple[str, str] | None = None,
    ) -> list[int]:
        """The prompt's token numbers: the same ones as long as the seconds are. tiled: as for
        pixels(). before: a question and its answer."""
        seconds = tuple(int(frame.at - clip[0].at + 0.5) for frame in clip)
        asked = (prompt,) if before is None or not self._has_turns else (*before, prompt)
        return self._encoded(asked, self._grid(clip[0], tiled), seconds)

    def pixels(self, clip: Sequence[Frame], tiled: bool = False) -> np.ndarray:
        """The tiles of all frames: shape (tiles, 3, side, side), float32, RGB.

        tiled: split a frame and add the whole. Else the whole is the only tile, as in the videos
        that SmolVLM2 was trained on: one vision pass instead of thirteen.
        """
        pixels = np.stack([tile for frame in clip for tile in self._tiles(frame, tiled)])
        pixels = pixels.astype(np.float32)
        mean, deviation = self._normal
        pixels *= np.float32(1 / 255) / deviation  # in place: 13 tiles are 41 MB
        pixels -= mean / deviation
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))

    def _tiles(self, frame: Frame, tiled: bool) -> list[np.ndarray]:
        side, (rows, columns) = self._tile, self._grid(frame, tiled)
        picture = frame.rgb(0 if tiled else side)
        # Lanczos, as in training; Pillow's widens with the scale, so that nothing aliases.
        whole = np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS))
        if not rows:
            return [whole]
        large = picture.resize((columns * side, rows * side), Image.Resampling.LANCZOS)
        split = np.asarray(large).reshape(rows, side, columns, side, 3).swapaxes(1, 2)
        return [*split.reshape(-1, side, side, 3), whole]

    def decoder(self) -> Callable[[int], str]:
        """For a text of its own: what each token adds to it, nothing while a character is not
        whole."""
        stream = DecodeStream(skip_special_tokens=True)
        return lambda token: stream.step(self.tokenizer, token) or ""

    def encode(self, text: str) -> list[int]:
        """The tokens of a text alone."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def _grid(self, frame: Frame, tiled: bool) -> tuple[int, int]:
        """Rows and columns of tiles beside the one of the whole frame."""
        if not tiled:
            return 0, 0
        height, width = frame.image.shape[:2]
        scale = self._longest / max(height, width)
        rows, columns = (-(-int(side * scale) // self._tile) for side in (height, width))
        return (rows, columns) if rows * columns > 1 else (0, 0)

    def _encode(
        self, asked: Sequence[str], grid: tuple[int, int], seconds: Sequence[int]
    ) -> list[int]:
        text = self._worded(asked, seconds)
        if text.count("<image>") != len(seconds):
            raise ModelError("the model's chat template does not have one place for each picture")
        return self.encode(text.replace("<image>", self._image_text(*grid)))

    def _worded(self, asked: Sequence[str], seconds: Sequence[int]) -> str:
        """asked: turns of the chat, the user's first; the picture is in that one."""
        content = [{"type": "image"}, {"type": "text", "text": asked[0]}]
        if len(seconds) > 1:  # SmolVLM2's words around the frames of a video
            from num2words import num2words  # It takes a while to import.

            frames = "".join(f"\nFrame from {s // 60:02d}:{s % 60:02d}:<image>" for s in seconds)
            content[0] = {"type": "text", "text": (
                f"You are provided the following series of {num2words(len(seconds))} frames from a "
                f"{timedelta(seconds=seconds[-1])} [H:MM:SS] video.\n{frames}\n\n"
            )}  # fmt: skip
        turns = [content, *([{"type": "text", "text": text}] for text in asked[1:])]
        roles = ("user", "assistant") * len(turns)
        messages = [{"role": role, "content": turn} for role, turn in zip(roles, turns)]
        return self._template.render(messages=messages, add_generation_prompt=True)

    def _image_text(self, rows: int, columns: int) -> str:
        fake, images = "<fake_token_around_image>", "<image>" * self._image_tokens
        tiles = [
            f"{fake}<row_{row}_col_{column}>{images}" + ("\n" if column == columns else "")
            for row in range(1, rows + 1)
            for column in range(1, columns + 1)
        ]
        return "".join([*tiles, "\n" if tiles else "", f"{fake}<global-img>{images}{fake}"])


def fit(holds: bool) -> None:
    """Raises ValueError where two files do not tell of the same model."""
    if not holds:
        raise ValueError("out of range, or from another model")


def end_tokens(folder: Path, config: dict[str, Any], tokenizer: Tokenizer) -> set[int]:
    """The tokens that end a caption. config.json is asked last: the published ones name none, or
    one that ends no turn. Raises ModelError."""
    ends: set[int] = set()
    for name, key in (
        ("generation_config.json", "eos_token_id"),
        ("tokenizer_config.json", "eos_token"),
        ("special_tokens_map.json", "eos_token"),
    ):
        with naming(folder / name):
            ends |= token_numbers(read_json(folder / name).get(key), tokenizer)
    with naming(folder / "tokenizer_config.json"):
        ends = ends or token_numbers(config.get("eos_token_id"), tokenizer)
        if not ends:
            raise ValueError("it names no eos_token")
    return ends


def token_numbers(named: Any, tokenizer: Tokenizer) -> set[int]:
    """The numbers of what settings name as a token, or as a list of them: by its number, its text
    or an object with its text. Raises ValueError for what is no token."""
    numbers = set()
    for one in named if isinstance(named, list) else [named] if named is not None else []:
        token = one["content"] if isinstance(one, dict) else one
        number = tokenizer.token_to_id(token) if isinstance(token, str) else token
        if number is None or tokenizer.id_to_token(number) is None:
            raise ValueError(f"{token} is no token")
        numbers.add(number)
    return numbers


def yes_and_no(encode: Callable[[str], list[int]]) -> tuple[list[int], list[int]]:
    """The tokens that yes and no begin with, whatever their case. encode: the tokens of a text."""
    yes, no = (
        {encode(text)[0] for text in (f" {word}", word, f" {word.lower()}", word.lower())}
        for word in ("Yes", "No")
    )
    return sorted(yes - no), sorted(no - yes)
