"""--bench: figures that fit each other, of the model that is on this disk and of no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from narrator.bench import ROWS, bench, measure, table
from narrator.engines.engine import Engine
from narrator.errors import ModelError, UsageError
from narrator.options import parse_options
from support.stand_ins import SayingEngine


def test_of_a_model_without_tiles_it_prints_one_object_whose_figures_fit_each_other(
    tiny: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def without_tiles(engine: Engine, prompt: str, detail: bool, repeats: int) -> dict[str, Any]:
        if detail:
            raise UsageError("--detail is for models that look at tiles")
        return measure(engine, prompt, detail, repeats=3)

    monkeypatch.setattr("narrator.bench.measure", without_tiles)
    bench(parse_options(["--bench", "--json", "--engine", "torch", "--model", str(tiny)]), tmp_path)
    facts = json.loads(capsys.readouterr().out)
    assert (facts["model"], facts["engine"].split()[:2]) == (str(tiny), ["torch", "on"])
    assert facts["load_s"] > 0
    figures = facts["one_tile"]
    assert figures["repeats"] == 3
    for _, name, *_ in ROWS:
        middle, least, most = figures[name]
        assert 0 <= least <= middle <= most
    assert figures["first_token_s"][0] <= figures["caption_s"][0]
    assert figures["captions_per_minute"][0] == pytest.approx(60 / figures["caption_s"][0], rel=0.1)
    assert figures["peak_memory_mb"] > 100
    text = table(facts)
    assert f"; {tiny}; loaded in {facts['load_s']:.1f} s" in text
    assert f"{figures['peak_memory_mb']} MB" in text
    assert "--detail" not in text


def test_a_model_that_would_have_to_be_downloaded_is_not_measured(tmp_path: Path) -> None:
    options = parse_options(["--bench", "--engine", "torch", "--model", "smolvlm2-500m"])
    with pytest.raises(ModelError, match=r"not on this machine; run pete_sounds\.py"):
        bench(options, tmp_path)


def test_a_model_that_says_nothing_gives_nothing_to_measure() -> None:
    silent = SayingEngine(lambda clip, prompt: iter([""]))
    with pytest.raises(ModelError, match="says nothing, so there is nothing to measure"):
        measure(silent, "What?", detail=False, repeats=3)
