"""--bench: figures that fit each other, of the model that is on this disk and of no other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from narrator.bench import ROWS, TOKENS, bench, measure, table
from narrator.engines.engine import Piece, Query
from narrator.errors import ModelError
from narrator.options import parse_options


def test_it_prints_one_object_whose_figures_fit_each_other(
    tiny: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "narrator.bench.measure",
        lambda engine, prompt, detail, _: measure(engine, prompt, detail, 2),
    )
    bench(parse_options(["--bench", "--json", "--engine", "torch", "--model", str(tiny)]), tmp_path)
    facts = json.loads(capsys.readouterr().out)
    assert (facts["model"], facts["engine"].split()[:2]) == (str(tiny), ["torch", "on"])
    assert facts["load_s"] > 0
    for form in ("one_tile", "detail"):
        figures = facts[form]
        assert figures["repeats"] == 2
        for _, name, *_ in ROWS:
            middle, least, most = figures[name]
            assert 0 <= least <= middle <= most
        assert figures["first_token_s"][0] <= figures["caption_s"][0]
        per_minute = 60 / figures["caption_s"][0]
        assert figures["captions_per_minute"][2] >= per_minute * 0.9
        assert figures["peak_memory_mb"] > 100
    text = table(facts)
    assert f"; {tiny}; loaded in {facts['load_s']:.1f} s" in text
    for form in ("one_tile", "detail"):
        assert f"{facts[form]['peak_memory_mb']:.0f} MB" in text
    del facts["detail"]  # a model without tiles
    assert "--detail" not in table(facts)


def test_a_model_that_would_have_to_be_downloaded_is_not_measured(tmp_path: Path) -> None:
    options = parse_options(["--bench", "--engine", "torch", "--model", "smolvlm2-500m"])
    with pytest.raises(ModelError, match=r"not on this machine; run pete_sounds\.py"):
        bench(options, tmp_path)


class Counting:
    """An engine that keeps what it was asked."""

    label = "counting"

    def __init__(self, text: str = "A cat.") -> None:
        self._text = text
        self.asked: list[Query] = []

    def describe(self, query: Query) -> Iterator[Piece]:
        self.asked.append(query)
        return iter([Piece(letter, None) for letter in self._text])

    def likelihoods(self, query: Query, questions: Sequence[str]) -> list[float | None]:
        return [None for _ in questions]


def test_each_caption_is_of_another_frame_and_the_first_one_only_warms_up() -> None:
    engine = Counting()
    assert measure(engine, "What?", detail=True, repeats=3)["repeats"] == 3
    assert len({query.clip[0].image.tobytes() for query in engine.asked}) == 4
    assert {(query.prompt, query.max_tokens, query.detail) for query in engine.asked} == {
        ("What?", TOKENS, True)
    }


def test_a_model_that_ends_without_a_word_is_said_to_give_nothing_to_measure() -> None:
    with pytest.raises(ModelError, match="says nothing, so there is nothing to measure"):
        measure(Counting(""), "What?", detail=False, repeats=3)
