"""--bench: figures that fit each other, and a stand-in of the true shape where no weights are."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import pete_sounds
from pete_sounds import BENCH_TOKENS, ExitCode, bench, bench_table, parse_arguments
from support.program import Program


def test_it_prints_one_object_whose_figures_fit_each_other(program: Program, tiny: Path) -> None:
    result = program("--bench", "--json", "--model", tiny)
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["engine"].startswith(("torch on", "mlx on"))
    assert facts["random_weights"] is False
    assert facts["load_s"] > 0
    for form in ("one_tile", "detail"):
        figures = facts[form]
        assert figures["repeats"] >= 5
        for name in ("frame_preparation_ms", "first_token_s", "tokens_per_s", "caption_s"):
            middle, least, most = figures[name]
            assert 0 <= least <= middle <= most
        assert figures["first_token_s"][0] <= figures["caption_s"][0]
        per_minute = 60 / figures["caption_s"][0]
        assert figures["captions_per_minute"][0] == pytest.approx(per_minute, rel=0.1)
        assert figures["peak_memory_mb"] > 100
    assert facts["one_tile"]["frame_preparation_ms"][0] < facts["detail"]["frame_preparation_ms"][0]


def test_the_table_says_the_same_as_the_object() -> None:
    figures = {
        "frame_preparation_ms": [9.04, 8.0, 12.0],
        "first_token_s": [0.512, 0.5, 0.61],
        "tokens_per_s": [51.26, 48.0, 53.0],
        "caption_s": [0.97, 0.9, 1.1],
        "captions_per_minute": [61.9, 55.0, 66.0],
        "peak_memory_mb": 1400,
        "repeats": 9,
    }
    facts = {
        "model": "smolvlm2-256m", "random_weights": True, "engine": "torch on the CPU, bfloat16",
        "load_s": 2.5, "one_tile": figures, "detail": {**figures, "repeats": 5},
    }  # fmt: skip
    table = bench_table(facts)
    assert "torch on the CPU, bfloat16; smolvlm2-256m, random weights; loaded in 2.5 s" in table
    for cell in ("9.0 ms (8.0 to 12.0)", "0.51 s (0.50 to 0.61)", "51.3 /s", "0.97 s", "1400 MB"):
        assert table.count(cell) == 2


def test_weights_that_are_not_here_are_stood_in_for_by_random_ones_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pete_sounds, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(pete_sounds, "TRUE_SHAPES", {"smolvlm2-256m": (128, 2, 2, 1, 256)})
    vision = {**pete_sounds.TRUE_VISION, "num_hidden_layers": 1}
    monkeypatch.setattr(pete_sounds, "TRUE_VISION", vision)
    monkeypatch.setattr(pete_sounds, "TRUE_VOCABULARY", 600)
    counts = []
    monkeypatch.setattr(
        pete_sounds,
        "measure",
        lambda engine, prompt, repeats: counts.append(len(list(engine.describe(red(), prompt)))),
    )
    monkeypatch.setattr(pete_sounds, "bench_table", str)
    bench(parse_arguments(["--bench", "--engine", "torch"]))
    out = capsys.readouterr()
    assert counts == [BENCH_TOKENS, BENCH_TOKENS]  # of no sense, but as many as a caption has
    assert "not on this machine: random weights" in out.err
    assert "'random_weights': True" in out.out


def red() -> list[pete_sounds.Frame]:
    import numpy as np

    return [pete_sounds.Frame(np.full((48, 64, 3), (30, 30, 200), np.uint8), 0.0, 0.0)]


def test_the_random_checkpoint_has_the_true_models_shape() -> None:
    text = pete_sounds.true_text_config("smolvlm2-256m")
    config = {"scale_factor": 4, "vision_config": pete_sounds.TRUE_VISION, "text_config": text}
    shapes = pete_sounds.tensor_shapes(config).values()
    assert sum(math.prod(shape) for shape in shapes) == 256_484_928


def test_what_it_does_not_use_is_refused(program: Program) -> None:
    for arguments in (["--once"], ["--source", "1"], ["--detail"], ["--max-tokens", "9"]):
        result = program("--bench", *arguments)
        assert result.returncode == ExitCode.USAGE
        assert f"--bench has no use for {arguments[0]}" in result.stderr
