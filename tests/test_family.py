"""The models beside the default one: the larger SmolVLM2, FastVLM, other families, --list-models.

Their real weights are not here. Small random checkpoints of the same layouts and geometry stand in
for them (support/made_models.py); what runs them is real.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # both before mlx-vlm, from which the program would hide them
import torchvision  # noqa: F401

import pete_sounds
from pete_sounds import (
    CpuEngine,
    Engine,
    ExitCode,
    Frame,
    MlxEngine,
    ModelError,
    SmolVlmInputs,
    TorchEngine,
    UsageError,
    Weights,
    find_weights,
)
from support import made_models
from support.made_models import PROMPT, TOKENS
from support.program import ROOT, Program

RED, BLUE = (30, 20, 220), (210, 60, 20)


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (96, 128)) -> list[Frame]:
    """A frame of one colour, which every way of resizing leaves as it is."""
    return [Frame(np.full((*size, 3), colour, np.uint8), 0.0, 0.0)]


def noise() -> list[Frame]:
    return [Frame(made_models.pictures()["noise"], 0.0, 0.0)]


def said(engine: Engine, clip: list[Frame]) -> str:
    return "".join(engine.describe(clip, PROMPT))


def mlx_tokens(engine: MlxEngine, clip: list[Frame]) -> list[int]:
    """What it says as token numbers: where random weights say bytes that are no characters, or
    tokens that are only for the prompt, the libraries write them differently."""
    return [result.token for result in engine._results(clip, PROMPT)][:TOKENS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the checkpoints of this file are made, each once."""
    return tmp_path_factory.mktemp("models")


Make = Callable[[str], Path]


@pytest.fixture(scope="module")
def made(folder: Path) -> Make:
    """A function that makes a checkpoint of made_models the first time it is asked for."""

    def make(name: str) -> Path:
        if not (folder / name).exists():
            getattr(made_models, name)(folder / name)
        return folder / name

    return make


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty .hf_cache."""
    monkeypatch.setattr(pete_sounds, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(pete_sounds, "KEPT", tmp_path / "cache" / "pete_sounds")
    return tmp_path / "cache"


# --------------------------------------------------------------------------------- SmolVLM2 2.2B


@pytest.mark.parametrize("detail", [False, True], ids=["one tile", "detail"])
@pytest.mark.parametrize("size", [(480, 640), (1080, 1920), (31, 57)])
def test_at_384_pixels_the_model_is_asked_what_transformers_own_processor_asks(
    made: Make, detail: bool, size: tuple[int, int]
) -> None:
    model = made("smolvlm_384")
    processor = made_models.transformers_processor(model)
    processor.image_processor.do_image_splitting = detail
    clip = plain(RED, size)
    content = [
        {"type": "image", "image": pete_sounds.rgb_picture(clip[0].image)},
        {"type": "text", "text": PROMPT},
    ]
    theirs = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=True,
        return_dict=True, return_tensors="np",
    )  # fmt: skip
    ids, pixels = SmolVlmInputs(model).prepare(clip, PROMPT, detail)
    assert ids == theirs["input_ids"][0].tolist()
    image_token = json.loads((model / "config.json").read_text())["image_token_id"]
    assert ids.count(image_token) == 81 * len(pixels)
    assert pixels.shape == theirs["pixel_values"][0].shape
    assert np.abs(pixels - theirs["pixel_values"][0]).max() < 1e-5


def test_at_384_pixels_three_engines_have_the_tokens_of_transformers_own_generate(
    made: Make,
) -> None:
    """Patches of 14 leave 6 of 384 pixels over, and 27 of them a side are an odd number: what is
    cut off, and which place each patch has, must be as in transformers."""
    from transformers import AutoModelForImageTextToText

    model = made("smolvlm_384")
    reference = AutoModelForImageTextToText.from_pretrained(model, dtype=torch.float32).eval()
    engines: list[Any] = [
        CpuEngine(model, TOKENS, torch.float32),
        TorchEngine(model, TOKENS, "cpu", torch.float32),
    ]
    ids, pixels = SmolVlmInputs(model).prepare(noise(), PROMPT, detail=False)
    inputs = {"input_ids": torch.tensor([ids]), "pixel_values": torch.from_numpy(pixels)[None]}
    tokens = reference.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)[0, len(ids) :]
    expected = [token for token in tokens.tolist() if token != made_models.ENDS]
    with torch.inference_mode():
        logits = reference(**inputs, logits_to_keep=1).logits[:, -1]
    assert (engines[0].first_logits(noise(), PROMPT) - logits).abs().max() < 1e-3
    for engine in engines:
        assert list(engine._tokens(noise(), PROMPT)) == expected
    mlx = MlxEngine(model, TOKENS)
    assert mlx_tokens(mlx, noise()) == expected
    assert said(mlx, noise()) != said(mlx, plain(BLUE))


def test_the_2_2b_shape_is_that_of_the_published_weights() -> None:
    text = pete_sounds.true_text_config("smolvlm2-2.2b")
    config = {"scale_factor": 3, "vision_config": pete_sounds.LARGE_VISION, "text_config": text}
    shapes = pete_sounds.tensor_shapes(config).values()
    values = sum(math.prod(shape) for shape in shapes)
    assert values == 2_246_784_880
    # The published file in bfloat16: 2 bytes a value, and some 125 bytes a tensor in its header.
    assert 0 < 4_493_651_795 - 2 * values < 130 * len(shapes)


def test_bench_stands_in_for_the_2_2b_with_its_own_geometry(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pete_sounds, "TRUE_SHAPES", {"smolvlm2-2.2b": (128, 1, 2, 2, 256)})
    small = {**pete_sounds.LARGE_VISION, "num_hidden_layers": 1}
    monkeypatch.setattr(pete_sounds, "LARGE_VISION", small)
    monkeypatch.setattr(pete_sounds, "TRUE_VOCABULARY", 600)
    model = pete_sounds.random_checkpoint("smolvlm2-2.2b")
    ids, pixels = SmolVlmInputs(model).prepare(noise(), PROMPT, detail=False)
    assert pixels.shape == (1, 3, 384, 384)
    assert ids.count(21) == 81
    engine = CpuEngine(model, 3, torch.float32)
    assert len(list(engine._tokens(noise(), PROMPT))) == 3


def test_a_smolvlm_as_transformers_5_saves_it_is_prepared_the_same(
    tiny: Path, tmp_path: Path
) -> None:
    """It keeps the settings for pictures in processor_config.json."""
    shutil.copytree(tiny, tmp_path / "model", ignore=shutil.ignore_patterns("demo.*"))
    (tmp_path / "model" / "preprocessor_config.json").unlink()
    made_models.transformers_processor(tiny).save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model" / "preprocessor_config.json").exists()
    found = SmolVlmInputs(tmp_path / "model").prepare(noise(), PROMPT, detail=True)
    expected = SmolVlmInputs(tiny).prepare(noise(), PROMPT, detail=True)
    assert found[0] == expected[0]
    assert np.array_equal(found[1], expected[1])


# ---------------------------------------------------------------------------------------- FastVLM


@pytest.fixture(scope="module")
def small_fastvlm() -> Iterator[None]:
    """mlx-vlm's FastVLM with few and narrow layers: config.json has no say in them."""
    pete_sounds.import_mlx_vlm()
    from mlx_vlm.models.fastvlm import VisionConfig

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VisionConfig, "layers", made_models.FASTVLM_LAYERS)
        patch.setattr(VisionConfig, "embed_dims", made_models.FASTVLM_WIDTHS)
        yield


@pytest.fixture(scope="module")
def fastvlm(small_fastvlm: None, folder: Path) -> dict[str, Path]:
    """The same FastVLM in both layouts."""
    return {
        layout: made_models.fastvlm(folder / f"fastvlm-{layout}", layout)
        for layout in ("mlx", "apple")
    }


def test_fastvlm_says_the_same_in_apples_layout_and_in_that_of_the_conversion(
    fastvlm: dict[str, Path],
) -> None:
    engines = {layout: MlxEngine(place, TOKENS) for layout, place in fastvlm.items()}
    for clip in (plain(RED), plain(BLUE), noise()):
        assert said(engines["mlx"], clip) == said(engines["apple"], clip) != ""
    assert said(engines["mlx"], plain(RED)) != said(engines["mlx"], plain(BLUE))


@pytest.mark.parametrize("layout", ["mlx", "apple"])
@pytest.mark.parametrize("weights", [Weights.MLX_4BIT, Weights.MLX_8BIT])
def test_fastvlm_is_quantised_from_either_layout_its_vision_tower_left_as_it_is(
    fastvlm: dict[str, Path], cache: Path, layout: str, weights: Weights
) -> None:
    made = find_weights(str(fastvlm[layout]), weights)
    quantised = {name for name in pete_sounds.tensor_names(made) if name.endswith(".scales")}
    assert any(name.startswith("language_model.") for name in quantised)
    assert not any(name.startswith("vision_tower.") for name in quantised)
    engine = MlxEngine(made, TOKENS)
    assert said(engine, plain(RED)) != said(engine, plain(BLUE))
    if weights is Weights.MLX_8BIT:  # near enough for the first words
        whole = MlxEngine(fastvlm[layout], 1)
        assert said(engine, noise()).startswith(said(whole, noise()))


def test_fastvlms_licence_is_said_when_it_is_chosen(
    fastvlm: dict[str, Path], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    find_weights(str(fastvlm["mlx"]), Weights.MLX_16BIT)
    assert "Apple's, for research only" in capsys.readouterr().err


@pytest.mark.parametrize("layout", ["mlx", "apple"])
@pytest.mark.parametrize("weights", [Weights.MLX_4BIT, Weights.MLX_16BIT, Weights.TORCH])
def test_an_export_of_the_language_model_alone_is_refused_with_what_to_use(
    fastvlm: dict[str, Path], cache: Path, tmp_path: Path, layout: str, weights: Weights
) -> None:
    from safetensors.torch import load_file, save_file

    export = shutil.copytree(fastvlm[layout], tmp_path / "FastVLM-0.5B-fp16")
    tensors = load_file(export / "model.safetensors")
    half = {name: tensor for name, tensor in tensors.items() if "vision_tower" not in name}
    save_file(half, export / "model.safetensors")
    (export / "fastvithd.mlpackage").mkdir()
    with pytest.raises(ModelError) as caught:
        find_weights(str(export), weights)
    assert str(caught.value) == (
        "FastVLM-0.5B-fp16 holds FastVLM's language model without its vision tower; use --model "
        "mlx-community/FastVLM-0.5B-bf16 with --engine mlx"
    )


def test_apples_exports_are_refused_before_anything_is_fetched(program: Program) -> None:
    for name in ("apple/FastVLM-1.5B-int8", "apple/FastVLM-7B-int4"):
        with pytest.raises(ModelError, match="without its vision tower"):
            pete_sounds.locate(name, "mlx")
    name, demo = "apple/FastVLM-0.5B-fp16", str(made_models.TINY / "demo.mp4")
    result = program("--model", name, "--source", demo, "--mute", "--engine", "mlx")
    assert result.returncode == ExitCode.MODEL
    assert len(result.stderr.splitlines()) == 1
    assert "use --model mlx-community/FastVLM-0.5B-bf16" in result.stderr


def test_fastvlm_asks_for_the_engine_that_it_needs(
    fastvlm: dict[str, Path], cache: Path, program: Program
) -> None:
    demo = str(made_models.TINY / "demo.mp4")
    result = program("--model", "fastvlm-0.5b", "--engine", "torch", "--source", demo, "--mute")
    assert result.returncode == ExitCode.USAGE
    assert result.stderr == "pete_sounds: --model fastvlm-0.5b needs --engine mlx\n"
    with pytest.raises(UsageError, match="needs --engine mlx"):
        find_weights(str(fastvlm["apple"]), Weights.TORCH)


@pytest.mark.parametrize(
    ("weights", "why"),
    [(Weights.TORCH, "needs the package timm"), (Weights.MLX_4BIT, "can't read")],
)
def test_fastvlm_as_transformers_has_it_is_refused_with_what_to_use(
    tiny: Path, cache: Path, tmp_path: Path, weights: Weights, why: str
) -> None:
    shutil.copytree(tiny, tmp_path / "model")
    made_models.change_json(tmp_path / "model" / "config.json", model_type="fast_vlm")
    with pytest.raises(ModelError, match=why) as caught:
        find_weights(str(tmp_path / "model"), weights)
    assert "use --model mlx-community/FastVLM-0.5B-bf16" in str(caught.value)


# -------------------------------------------------------------------------------- other families


@pytest.fixture(scope="module")
def others(folder: Path) -> dict[str, Any]:
    """What transformers, in a process without mlx-vlm, makes of the other families."""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    subprocess.run(
        [sys.executable, "-m", "support.made_models", str(folder)], check=True, timeout=150,
        env={**os.environ, "PYTHONPATH": path}, capture_output=True,
    )  # fmt: skip
    return dict(json.loads((folder / "torch.json").read_text("utf-8")))


@pytest.mark.parametrize("name", ["llava", "qwen2_vl", "idefics3"])
def test_torch_has_the_tokens_of_transformers_own_generate(
    others: dict[str, Any], name: str
) -> None:
    for picture in made_models.pictures():
        assert others[name][picture]["tokens"] == others[name][picture]["expected"] != []
    assert others[name]["opened"] == "TorchEngine"
    assert others[name]["red"]["said"] != others[name]["blue"]["said"]


@pytest.mark.parametrize("name", ["qwen2_vl", "idefics3"])
def test_mlx_says_the_same_as_torch(others: dict[str, Any], folder: Path, name: str) -> None:
    engine = MlxEngine(folder / name, TOKENS)
    for picture in ("red", "blue"):
        clip = [Frame(made_models.pictures()[picture], 0.0, 0.0)]
        assert mlx_tokens(engine, clip) == others[name][picture]["tokens"]


def test_a_model_without_a_chat_template_is_refused_in_one_line(others: dict[str, Any]) -> None:
    kind, message = others["paligemma"]["refused"]
    assert kind == "ModelError"
    assert message.endswith("has no chat template, so it can't be asked anything")


def test_detail_is_refused_by_a_model_that_knows_of_no_tiles(others: dict[str, Any]) -> None:
    kind, message = others["qwen2_vl"]["refused"]
    assert kind == "UsageError"
    assert "--detail is for models that look at tiles" in message
    assert others["idefics3"]["detail"]


# ----------------------------------------------------------------------------------- --list-models


def test_each_preset_and_each_engine_is_listed_without_network_or_packages(
    tmp_path: Path, program: Program
) -> None:
    """In a folder without .venv, as before ./install.sh, with a Python that finds no package."""
    script = shutil.copy(pete_sounds.PROJECT / "pete_sounds.py", tmp_path)
    program.script = Path(script)
    program.environment["PYTHONPATH"] = str(tmp_path / "poison")
    for package in ("torch", "mlx", "cv2", "numpy", "transformers", "huggingface_hub"):
        path = tmp_path / "poison" / package / "__init__.py"
        path.parent.mkdir(parents=True)
        path.write_text("raise SystemExit('imported')")
    result = program("--list-models")
    assert (result.returncode, result.stderr) == (0, "")
    rows = [line.split() for line in result.stdout.splitlines()]
    listed = {(row[0], row[1]) for row in rows if row[0] in pete_sounds.PRESETS}
    assert listed == {
        (preset, library)
        for preset, checkpoints in pete_sounds.PRESETS.items()
        for library in checkpoints
    }
    lines = [line for line in result.stdout.splitlines() if line.startswith("fastvlm-0.5b")]
    assert len(lines) == 1
    assert "Apple's, for research only" in lines[0]


def test_what_is_on_disk_is_listed_with_its_size_and_its_folder(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = cache / "pete_sounds"
    sizes = {
        cache / "hub/models--mlx-community--SmolVLM2-256M-Video-Instruct-mlx/blobs/a": 300_000_000,
        cache / "hub/models--some\x1b[1m--other/blobs/b": 5_000_000,
        kept / "mlx-community--SmolVLM2-256M-Video-Instruct-mlx-79901655c1a3-4bit/w": 200_000_000,
        kept / "mine-0123456789ab-8bit/w": 7_000_000,
        kept / "random-smolvlm2-500m/w": 8_000_000,
        kept / ".making-1-x/w": 9_000_000,
    }
    for file, size in sizes.items():
        file.parent.mkdir(parents=True)
        with file.open("wb") as sparse:
            sparse.truncate(size)
    snapshot = cache / "hub/models--mlx-community--SmolVLM2-256M-Video-Instruct-mlx/snapshots"
    snapshot.mkdir()
    (snapshot / "weights").symlink_to("../blobs/a")  # It must not count twice.
    note = kept / "mlx-community--SmolVLM2-256M-Video-Instruct-mlx-79901655c1a3.fetched"
    note.write_text("{}")
    pete_sounds.list_models()
    out = capsys.readouterr().out
    preset, others = out.split("others that are kept:\n")
    lines = preset.splitlines()
    row = next(number for number, line in enumerate(lines) if line.startswith("smolvlm2-256m"))
    hub = "hub/models--mlx-community--SmolVLM2-256M-Video-Instruct-mlx"
    assert lines[row + 1].split(maxsplit=2) == ["0.3", "GB", f"fetched: {cache / hub}"]
    assert lines[row + 2].split(maxsplit=2)[:2] == ["0.2", "GB"]
    assert "made here: " in lines[row + 2]
    assert lines[row + 2].endswith("-79901655c1a3-4bit")
    assert "some[1m/other\n               5 MB fetched in part: " in others
    assert "mine\n               7 MB made here: " in others
    assert "random-smolvlm2-500m\n               8 MB made here: " in others
    assert "\x1b" not in out
    assert "making" not in out
    assert out.endswith("To remove one, delete its folders.\n")
