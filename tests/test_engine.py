"""The engines on the small checkpoint, which really sees: drawn scenes in, true captions out."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch  # both before mlx-vlm, from which the program would hide them
import torchvision  # noqa: F401

import pete_sounds
from pete_sounds import (
    DEFAULT_PROMPT,
    CpuEngine,
    Engine,
    Frame,
    LanguageModel,
    MlxEngine,
    PeteError,
    Phrases,
    SmolVlmInputs,
    TextLinear,
    TorchEngine,
    UsageError,
    Weights,
    choose_engine,
    find_weights,
    numpy_attention,
    numpy_gelu,
    open_engine,
)
from support.drawn_scenes import random_scene
from support.made_models import transformers_processor

UNSEEN_SEED = 20261123  # training and its own evaluation use others
SCENES = 300
TOKENS = 32


@pytest.fixture(scope="module")
def in_float32(tiny: Path) -> CpuEngine:
    """The torch engine for a CPU, in float32."""
    return CpuEngine(tiny, TOKENS, torch.float32)


@pytest.fixture(scope="module")
def quantised(tiny: Path) -> MlxEngine:
    """The mlx engine as on Apple Silicon: 4 bits."""
    return MlxEngine(find_weights(str(tiny), Weights.MLX_4BIT), TOKENS)


@pytest.fixture(scope="module")
def scenes() -> list[tuple[np.ndarray, str]]:
    """Pictures that no training has seen, and what is true of them."""
    rng = np.random.default_rng(UNSEEN_SEED)
    return [random_scene(rng) for _ in range(SCENES)]


Scenes = list[tuple[np.ndarray, str]]


def clip_of(image: np.ndarray) -> list[Frame]:
    """A picture as engines take it."""
    return [Frame(image, taken=0.0, at=0.0)]


def caption(engine: Engine, image: np.ndarray, prompt: str = DEFAULT_PROMPT) -> str:
    return "".join(engine.describe(clip_of(image), prompt)).strip()


def captions(engine: Engine, scenes: Scenes) -> list[str]:
    return [caption(engine, image) for image, _ in scenes]


def exact_share(said: list[str], scenes: Scenes) -> float:
    """The share of scenes whose caption is right to the letter."""
    return sum(one == truth for one, (_, truth) in zip(said, scenes)) / len(said)


@pytest.fixture(scope="module")
def said_in_float32(in_float32: CpuEngine, scenes: Scenes) -> list[str]:
    return captions(in_float32, scenes)


# ------------------------------------------------------------------------------------ one truth


def test_95_of_100_unseen_scenes_are_captioned_exactly(
    said_in_float32: list[str], scenes: Scenes
) -> None:
    assert exact_share(said_in_float32, scenes) >= 0.95


def test_mlx_says_the_same_of_300_scenes_as_torch(
    tiny: Path, said_in_float32: list[str], scenes: Scenes
) -> None:
    engine = MlxEngine(find_weights(str(tiny), Weights.MLX_16BIT), TOKENS)
    assert captions(engine, scenes) == said_in_float32


def test_at_four_bits_95_of_100_unseen_scenes_are_captioned_exactly(
    quantised: MlxEngine, scenes: Scenes
) -> None:
    some = scenes[: SCENES // 2]
    assert exact_share(captions(quantised, some), some) >= 0.95


@pytest.mark.parametrize("bits", [16, 8])
def test_what_is_quicker_is_at_most_a_point_less_exact(
    tiny: Path, said_in_float32: list[str], scenes: Scenes, bits: int
) -> None:
    engine = CpuEngine(tiny, TOKENS, torch.bfloat16, bits)
    assert exact_share(captions(engine, scenes), scenes) >= (
        exact_share(said_in_float32, scenes) - 0.01
    )


@pytest.fixture(scope="module")
def reference(tiny: Path) -> Any:
    """transformers' own model in float32."""
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(tiny, dtype=torch.float32).eval()


def inputs_of(engine: Any, image: np.ndarray, prompt: str = DEFAULT_PROMPT) -> dict[str, Any]:
    """What transformers' model takes, from the engine's own preparation."""
    ids, pixels = engine._inputs.prepare(clip_of(image), prompt, engine.detail)
    return {"input_ids": torch.tensor([ids]), "pixel_values": torch.from_numpy(pixels)[None]}


def noise_frames(count: int, size: tuple[int, int] = (480, 640)) -> list[np.ndarray]:
    """Frames of coloured noise, BGR: nothing the model knows, so that tokens are near ties."""
    rng = np.random.default_rng(11)
    return [rng.integers(0, 255, (*size, 3), dtype=np.uint8) for _ in range(count)]


@pytest.mark.parametrize("detail", [False, True], ids=["one tile", "detail"])
def test_logits_and_tokens_are_those_of_transformers_own_generate(
    tiny: Path, reference: Any, detail: bool
) -> None:
    cpu = CpuEngine(tiny, 24, torch.float32)
    library = TorchEngine(tiny, 24, "cpu", torch.float32)
    cpu.detail = library.detail = detail
    for image in noise_frames(3 if detail else 10):
        inputs = inputs_of(cpu, image)
        with torch.inference_mode():
            logits = reference(**inputs, logits_to_keep=1).logits[:, -1]
        assert (cpu.first_logits(clip_of(image), DEFAULT_PROMPT) - logits).abs().max() < 1e-3
        made = reference.generate(**inputs, max_new_tokens=24, do_sample=False)
        tokens = made[0, inputs["input_ids"].shape[1] :].tolist()
        ended = [token for token in tokens if token not in cpu._inputs.ends]
        assert list(cpu._tokens(clip_of(image), DEFAULT_PROMPT)) == ended
        assert list(library._tokens(clip_of(image), DEFAULT_PROMPT)) == ended


def test_mlx_has_the_logits_of_transformers(tiny: Path, reference: Any) -> None:
    import mlx.core as mx

    engine = MlxEngine(find_weights(str(tiny), Weights.MLX_16BIT), 24)
    for image in noise_frames(10):
        inputs = inputs_of(engine, image)
        with torch.inference_mode():
            expected = reference(**inputs, logits_to_keep=1).logits[0, -1]
        output = engine._model(
            mx.array(inputs["input_ids"].numpy()), mx.array(inputs["pixel_values"].numpy())
        )
        found = torch.from_numpy(np.array(output.logits[0, -1]))
        assert (found - expected).abs().max() < 1e-3


@pytest.mark.parametrize("size", [(480, 640), (1080, 1920), (300, 200), (31, 57), (512, 512)])
@pytest.mark.parametrize("detail", [False, True], ids=["one tile", "detail"])
def test_what_the_model_is_asked_is_what_transformers_own_processor_asks(
    tiny: Path, detail: bool, size: tuple[int, int]
) -> None:
    import cv2

    processor = transformers_processor(tiny)
    processor.image_processor.do_image_splitting = detail
    image = cv2.GaussianBlur(noise_frames(1, size)[0], (0, 0), 5)
    content = [
        {"type": "image", "image": pete_sounds.rgb_picture(image)},
        {"type": "text", "text": "What is that?"},
    ]
    theirs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="np",
    )
    ids, pixels = SmolVlmInputs(tiny).prepare(clip_of(image), "What is that?", detail)
    assert ids == theirs["input_ids"][0].tolist()
    assert pixels.shape == theirs["pixel_values"][0].shape
    # It resizes twice, by way of a larger picture, and rounds between: near, but not the same.
    assert np.abs(pixels - theirs["pixel_values"][0]).mean() < 0.02


def test_the_language_model_reads_the_newer_layout_of_the_rotary_base(
    tiny: Path, tmp_path: Path, in_float32: CpuEngine
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder, ignore=shutil.ignore_patterns("demo.*"))
    config = json.loads((folder / "config.json").read_text())
    theta = config["text_config"].pop("rope_theta")
    config["text_config"]["rope_parameters"] = {"rope_theta": theta, "rope_type": "default"}
    (folder / "config.json").write_text(json.dumps(config))
    image = noise_frames(1)[0]
    newer = CpuEngine(folder, TOKENS, torch.float32).first_logits(clip_of(image), DEFAULT_PROMPT)
    assert torch.equal(newer, in_float32.first_logits(clip_of(image), DEFAULT_PROMPT))


# ------------------------------------------------------------------------- what makes it quick


def test_a_prompt_in_parts_is_the_same_prompt(
    in_float32: CpuEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = clip_of(noise_frames(1)[0])
    whole = in_float32.first_logits(clip, DEFAULT_PROMPT)
    monkeypatch.setattr(CpuEngine, "PROMPT_AT_ONCE", 10)
    in_parts = in_float32.first_logits(clip, DEFAULT_PROMPT)
    assert in_parts.shape == whole.shape == (1, whole.shape[1])
    assert (in_parts - whole).abs().max() < 1e-4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_one_row_gets_what_it_gets_among_others(dtype: torch.dtype) -> None:
    linear = TextLinear((torch.randn(96, 576) / 24).to(dtype))
    rows = torch.randn(6, 576)
    alone = torch.cat([linear(row[None]) for row in rows])
    assert alone.dtype is dtype
    assert torch.backends.mkldnn.enabled
    torch.testing.assert_close(alone, linear(rows), atol=2e-2, rtol=1e-2)


def test_numpy_calculates_what_mlx_does(quantised: MlxEngine) -> None:
    import mlx.core as mx
    import mlx.nn as nn

    rng = np.random.default_rng(3)
    q, k, v = (mx.array(rng.normal(size=(2, 3, 50, 16)).astype(np.float32)) for _ in range(3))
    mixed = mx.softmax(2 * (q @ k.swapaxes(2, 3)), -1) @ v
    x = mx.array(np.linspace(-30, 30, 4001, dtype=np.float32))
    curve = 0.5 * x * (1 + mx.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    with (
        patch.object(pete_sounds, "numpy_attention", side_effect=numpy_attention) as attention,
        patch.object(pete_sounds, "numpy_gelu", side_effect=numpy_gelu) as gelu,
    ):
        found = mx.fast.scaled_dot_product_attention(q, k, v, scale=2)
        assert np.abs(np.array(found - mixed)).max() < 1e-5
        assert np.abs(np.array(nn.GELU(approx="precise")(x) - curve)).max() < 1e-5
    assert attention.called
    assert gelu.called


def test_attention_with_a_mask_is_left_to_mlx(
    quantised: MlxEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlx.core as mx

    monkeypatch.setattr(pete_sounds, "numpy_attention", None)
    q = mx.random.normal((1, 2, 4, 8))
    first = mx.fast.scaled_dot_product_attention(q, q, q, scale=1.0, mask="causal")[:, :, 0]
    assert np.abs(np.array(first - q[:, :, 0])).max() < 1e-6


# ------------------------------------------------------------------------------- guessed tokens


def test_guesses_change_no_token_and_save_steps(
    tiny: Path, scenes: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    step = LanguageModel.__call__

    def counted(self: LanguageModel, x: Any, last: bool = False) -> Any:
        steps.append(len(x))
        return step(self, x, last)

    monkeypatch.setattr(LanguageModel, "__call__", counted)
    some = [clip_of(image) for image, _ in scenes[:20]]
    engine = CpuEngine(tiny, TOKENS, torch.float32)
    with monkeypatch.context() as never:
        engine.guesses = False
        alone = [list(engine._tokens(clip, DEFAULT_PROMPT)) for clip in some]
        needed = len(steps)
        steps.clear()
        engine.guesses = True
        never.setattr(Phrases, "guess", lambda self, said: [5] * self.GUESSES)
        assert [list(engine._tokens(clip, DEFAULT_PROMPT)) for clip in some] == alone
        assert len(steps) == needed  # all of them wrong, so nothing is saved
    steps.clear()
    assert [list(engine._tokens(clip, DEFAULT_PROMPT)) for clip in some] == alone
    assert len(steps) < needed / 2


def test_a_guess_is_what_followed_the_same_words_last() -> None:
    phrases = Phrases()
    for said in ([1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 9, 4, 5], [7, 2, 3]):
        with phrases.remembered([]) as kept:
            kept.extend(said)
    assert phrases.guess([1, 2, 3]) == [4, 5, 6, 7, 8]
    assert phrases.guess([66, 2, 3]) == [4, 5, 6, 7, 8]
    assert phrases.guess([1]) == [2, 9, 4, 5]  # the newer one; both are the first
    assert phrases.guess([66, 7, 2]) == [3]  # there was no more
    assert phrases.guess([66, 4]) == []  # one alone is not enough
    assert phrases.guess([66]) == []


# ---------------------------------------------------------------------------------- every engine


MAKERS: dict[str, Callable[[Path, int], Engine]] = {
    "cpu": lambda folder, tokens: CpuEngine(folder, tokens, torch.float32),
    "cpu bfloat16": lambda folder, tokens: CpuEngine(folder, tokens, torch.bfloat16),
    "transformers": lambda folder, tokens: TorchEngine(folder, tokens, "cpu", torch.float32),
    "mlx": lambda folder, tokens: MlxEngine(find_weights(str(folder), Weights.MLX_4BIT), tokens),
}


@pytest.fixture(scope="module", params=MAKERS)
def make(request: pytest.FixtureRequest, tiny: Path) -> Callable[[int], Engine]:
    """Makes one of the engines, for so many tokens."""
    return lambda tokens: MAKERS[request.param](tiny, tokens)


@pytest.fixture(scope="module")
def engine(make: Callable[[int], Engine]) -> Engine:
    return make(TOKENS)


def red_circle() -> np.ndarray:
    """A red circle in the middle of a grey frame: shape (480, 640, 3), uint8, BGR."""
    import cv2

    image = np.full((480, 640, 3), 128, np.uint8)
    cv2.circle(image, (320, 240), 80, (40, 40, 210), -1, cv2.LINE_AA)
    return image


def test_frames_are_taken_as_bgr(engine: Engine) -> None:
    assert caption(engine, red_circle()) == "A red circle in the center."
    assert caption(engine, red_circle()[..., ::-1]) == "A blue circle in the center."


def test_the_same_frame_gives_the_same_caption(engine: Engine) -> None:
    noise = noise_frames(1)[0]
    assert caption(engine, noise) == caption(engine, noise)


def test_a_caption_comes_in_pieces_and_can_be_interrupted(engine: Engine) -> None:
    pieces = list(engine.describe(clip_of(red_circle()), DEFAULT_PROMPT))
    assert len([piece for piece in pieces if piece]) > 2
    started = engine.describe(clip_of(red_circle()), DEFAULT_PROMPT)
    next(started)
    started.close()  # type: ignore[attr-defined]
    assert caption(engine, red_circle()) == "A red circle in the center."


def test_max_tokens_ends_a_caption(make: Callable[[int], Engine]) -> None:
    assert 0 < len(caption(make(5), red_circle())) < len("A red circle in the center.")


def test_a_longer_prompt_than_the_last_one_fits(engine: Engine) -> None:
    assert caption(engine, red_circle(), "What is there?")
    longer = "Look closely at the picture. " * 20 + "What is there?"
    assert caption(engine, red_circle(), longer)
    assert caption(engine, red_circle()) == "A red circle in the center."


def test_it_says_what_it_is_and_what_memory_it_took(engine: Engine) -> None:
    assert engine.label.split()[0] in ("mlx", "torch")
    assert 10**8 < engine.peak_memory() < 10**11


@pytest.mark.parametrize("size", [(1, 1), (16, 1600), (1080, 1920), (31, 57)])
def test_a_frame_of_any_size_is_one_tile(tiny: Path, size: tuple[int, int]) -> None:
    ids, pixels = SmolVlmInputs(tiny).prepare(clip_of(np.zeros((*size, 3), np.uint8)), "What?")
    assert pixels.shape == (1, 3, 128, 128)
    assert pixels.dtype == np.float32
    assert ids.count(21) == 16


# --------------------------------------------------------------------------------- which engine


def test_apple_silicon_takes_mlx_at_four_bits_and_other_machines_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    choice = choose_engine("auto", None)
    assert (choice.name, choice.bits, choice.why) == ("mlx", 4, "Apple Silicon")
    assert choose_engine("torch", None).bits == 16
    for system, machine in (("darwin", "x86_64"), ("linux", "x86_64"), ("linux", "aarch64")):
        monkeypatch.setattr(sys, "platform", system)
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        choice = choose_engine("auto", None)
        assert (choice.name, choice.bits, choice.why) == ("torch", 16, "no Apple GPU here")


def test_an_engine_that_is_asked_for_is_taken_with_the_bits_asked_for() -> None:
    choice = choose_engine("mlx", 8)
    assert (choice.name, choice.weights()) == ("mlx", Weights.MLX_8BIT)
    with pytest.raises(UsageError, match="--bits 4 is for --engine mlx"):
        choose_engine("torch", 4)


@pytest.mark.parametrize("engine_name", ["torch", "mlx"])
def test_each_engine_imports_its_own_packages_alone(tiny: Path, engine_name: str) -> None:
    script = (
        "import sys, pete_sounds as p\n"
        "choice = p.choose_engine(sys.argv[2], None)\n"
        "p.open_engine(choice, p.find_weights(sys.argv[1], choice.weights()), 8)\n"
        "heavy = ('torch._C', 'torchvision', 'transformers', 'mlx.core', 'mlx_vlm')\n"
        "print(*[name for name in heavy if sys.modules.get(name)])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(tiny), engine_name], cwd=pete_sounds.PROJECT,
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    expected = {"torch": {"torch._C"}, "mlx": {"transformers", "mlx.core", "mlx_vlm"}}
    assert set(result.stdout.split()) == expected[engine_name]


def test_on_linux_mlx_takes_its_blas_from_opencv() -> None:
    """Without it a matrix product of this size takes a second; with it, some milliseconds."""
    if sys.platform != "linux":
        pytest.skip("a Mac's mlx has Apple's own BLAS")
    script = (
        "import pete_sounds as p, time\n"
        "p.import_mlx_vlm()\n"
        "import mlx.core as mx\n"
        "print(*{line.split()[-1] for line in open('/proc/self/maps') if 'openblas' in line})\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=pete_sounds.PROJECT,
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "opencv_python.libs" in result.stdout


@pytest.mark.parametrize("engine_name", ["torch", "mlx"])
def test_a_folder_that_is_no_model_cannot_be_loaded(tmp_path: Path, engine_name: str) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "smolvlm"}')
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(PeteError, match="can't be loaded") as caught:
        open_engine(choose_engine(engine_name, None), tmp_path, 8)
    assert caught.value.exit_code is pete_sounds.ExitCode.MODEL
