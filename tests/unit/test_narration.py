"""The narrator: order, honesty about times, no repeats, silence when it is asked for."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from narrator.engines.engine import Piece
from narrator.narration import Narrator, confidence_of
from narrator.speech.speaker import Speaker
from narrator.text import TextLine
from support.stand_ins import FrameSource, OutputLog, SpeakerLog, a_frame


def a_narrator(
    speaker: Speaker | None = None, output: OutputLog | None = None, **settings: Any
) -> Narrator:
    return Narrator(FrameSource(1), speaker or Speaker(), [output or OutputLog()], **settings)


def narrate(narrator: Narrator, pieces: Iterable[str | Piece], **about: Any) -> None:
    """Have a caption made of a frame, as an engine says it."""
    with narrator.caption(about.pop("frame", None) or a_frame(), **about) as caption:
        for piece in pieces:
            caption.add(piece if isinstance(piece, Piece) else Piece(piece, None))
            if caption.complete:
                break


def read(narrator: Narrator, sentences: Iterable[str], **about: Any) -> None:
    """Have a text read."""
    with narrator.caption(a_frame(), **about) as caption:
        for sentence in sentences:
            caption.read(sentence)
        caption.lines = LINES


LINES = [TextLine("Gate 14 closes at noon.", (0, 0, 100, 20), 0.99)]


def test_the_first_sentence_is_spoken_while_the_rest_is_still_generated() -> None:
    log: list[str] = []
    output = OutputLog()

    def pieces() -> Iterator[str]:
        for piece in ("A cat sits. ", "A dog", " runs."):
            log.append(f"generated {piece}")
            yield piece

    narrate(a_narrator(SpeakerLog(log), output), pieces())
    assert log.index("A cat sits.") < log.index("generated  runs.")
    assert log[-1] == "A dog runs."
    assert output.texts == ["A cat sits. A dog runs."]


def test_a_caption_tells_its_times_truly() -> None:
    now = [100.0]

    class Source(FrameSource):
        def now(self) -> float:
            return now[0]

    def pieces() -> Iterator[str]:
        now[0] += 0.2
        yield "One. "
        yield "Two"
        now[0] += 0.3
        yield " more."

    output = OutputLog()
    source, frame = Source(1), a_frame()
    narrator = Narrator(source, SpeakerLog(), [output], clock=lambda: now[0])
    taken = now[0] - 3
    narrate(narrator, pieces(), frame=replace(frame, taken=taken))
    caption = output.captions[0]
    assert caption.text == "One. Two more."
    assert caption.first_token_s == pytest.approx(0.2)
    assert caption.caption_s == pytest.approx(0.5)
    assert caption.frame_age_s == pytest.approx(3.2)
    assert caption.spoken is True
    assert caption.time.tzinfo is not None
    assert 3.4 < datetime.now().timestamp() - caption.time.timestamp() < 30


def test_a_caption_that_is_broken_off_is_not_printed() -> None:
    output, speaker = OutputLog(), SpeakerLog()

    def pieces() -> Iterator[str]:
        yield "A cat. A dog"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        narrate(a_narrator(speaker, output), pieces())
    assert (speaker.said, output.texts) == (["A cat."], [])
    with pytest.raises(RuntimeError, match="nothing to say"):
        narrate(a_narrator(), ["", " "])


def test_the_confidence_of_a_caption_is_the_geometric_mean_of_its_tokens() -> None:
    output = OutputLog()
    narrator = a_narrator(None, output)
    narrate(narrator, [Piece("A", 0.9), Piece(" cat", 0.4), Piece("", 1.0), Piece(".", 0.9)])
    narrate(narrator, [Piece("A", 0.9), Piece(" dog.", None)])
    first, second = output.captions
    assert first.confidence == pytest.approx((0.9 * 0.4 * 1.0 * 0.9) ** 0.25)
    assert second.confidence == pytest.approx(0.9)
    assert confidence_of([]) is None
    assert confidence_of([0.0, 1.0]) == pytest.approx(0, abs=1e-4)


# -- repeats


def captions_of(texts: list[str], **settings: Any) -> list[tuple[str, bool]]:
    """What is printed of captions that say these texts, and whether it was spoken."""
    output = OutputLog()
    narrator = a_narrator(SpeakerLog(), output, **settings)
    for text in texts:
        narrate(narrator, [text])
    assert narrator.history.count == len(output.captions)
    return [(caption.text, caption.spoken) for caption in output.captions]


def test_a_caption_with_nothing_new_in_it_is_printed_and_spoken_once() -> None:
    assert captions_of(["A cat.", "a  cat!", "A dog.", "A dog. A cat.", "A cat. A dog."]) == [
        ("A cat.", True), ("A dog.", True), ("A dog. A cat.", True),
    ]  # fmt: skip
    both = captions_of(["A cat.", "A cat."], every_caption=True)
    assert both == [("A cat.", True), ("A cat.", False)]
    again = captions_of(["A cat.", "A cat."], repeat_after_s=0.0)  # after a long silence
    assert again == [("A cat.", True), ("A cat.", True)]


def test_of_a_caption_that_repeats_a_part_the_new_part_is_spoken() -> None:
    speaker = SpeakerLog()
    narrator = a_narrator(speaker)
    for text in ("A cat. It sleeps.", "A cat. It wakes."):
        narrate(narrator, [text])
    assert speaker.said == ["A cat.", "It sleeps.", "It wakes."]
    narrator.announce("The camera is back.")  # after which the view is worth a word again
    narrate(narrator, ["A cat."])
    assert speaker.said[3:] == ["The camera is back.", "A cat."]


def test_what_came_before_a_loop_is_said_and_nothing_after_a_sentence_that_came_twice() -> None:
    output = OutputLog()
    narrator = a_narrator(None, output, every_caption=True)
    narrate(narrator, (f"{word} " for word in itertools.cycle(["A cat.", "It sits."])))
    narrate(narrator, ["A cat. A red circle, a red circle, a RED circle and so on."])
    narrate(narrator, ["A cat. A dog. A cat. A cow. A hen."])
    narrate(narrator, ["A cat. A dog. ", "A cat. A cow", " and a hen."])
    texts = ["A cat. It sits.", "A cat.", "A cat. A dog.", "A cat. A dog."]
    assert [(caption.text, caption.spoken) for caption in output.captions] == [
        (text, False) for text in texts
    ]


# -- the next caption, while the voice speaks


def test_the_next_caption_starts_so_early_that_it_is_ready_when_the_voice_falls_silent() -> None:
    left = [0.0]

    class Timed(SpeakerLog):
        def quiet_in(self, at: float) -> float:
            return left[0]

    def slowly() -> Iterator[str]:
        time.sleep(0.2)
        yield "A cat."

    narrator = a_narrator(Timed())
    narrate(narrator, slowly())
    left[0] = 300.0
    assert narrator.busy
    left[0] = 0.15
    assert not narrator.busy


# -- silence


def hushed_at(second: bool, hush: Callable[[Narrator], None]) -> list[str]:
    """What is spoken of four sentences, where a hush comes after the first or the second."""
    speaker = SpeakerLog()
    narrator = a_narrator(speaker)

    def pieces(hushed: bool) -> Iterator[str]:
        for number, sentence in enumerate(["One. ", "Two. ", "Three. ", "Four."]):
            yield sentence
            if hushed and number == second:
                hush(narrator)

    narrate(narrator, pieces(True))
    speaker.said.append("next:")
    narrate(narrator, pieces(False))
    return speaker.said[: speaker.said.index("next:")]


def test_hush_silences_the_rest_of_what_is_being_made_too() -> None:
    assert hushed_at(True, Narrator.hush) == ["One.", "(hush)"]
    assert hushed_at(False, Narrator.hush) == ["(hush)"]


def test_a_line_that_is_typed_cuts_short_what_was_begun_and_nothing_else() -> None:
    assert hushed_at(True, Narrator.cut_short) == ["One."]
    # A question typed behind another: nobody has heard any of the first one's answer yet.
    assert hushed_at(False, Narrator.cut_short) == ["One.", "Two.", "Three.", "Four."]


# -- what was said


def test_a_recap_folds_repeats_and_forgets() -> None:
    now = [0.0]
    narrator = a_narrator(clock=lambda: now[0])
    assert narrator.history.recap() == "Nothing was said in the last ten minutes."
    for now[0], text in ((0.0, "Old."), (600.0, "A cat."), (610.0, "A cat."), (689.0, "A dog.")):
        narrate(narrator, [text])
    now[0] = 720.0
    assert narrator.history.recap() == "2 minutes ago: A cat. 31 seconds ago: A dog."
    assert narrator.history.latest == "A dog."
    count = narrator.history.count
    narrate(narrator, ["Nobody."], question="Who", asked=True)  # an answer is no caption
    assert narrator.history.count == count
    narrate(narrator, ["A cow."], asked=True)  # what Enter asks for is one
    assert narrator.history.count == count + 1


# -- text that is read


def test_a_text_is_read_word_for_word_whatever_it_repeats() -> None:
    output, speaker = OutputLog(), SpeakerLog()
    text = ["Sale sale sale sale.", "New!", "New!"]
    read(a_narrator(speaker, output), text)
    assert speaker.said == text
    assert output.texts == ["Sale sale sale sale. New! New!"]
    assert output.captions[0].lines == tuple(LINES)


def test_of_a_text_only_a_changed_figure_is_read_again_unless_it_is_asked_for() -> None:
    now = [0.0]
    output, speaker = OutputLog(), SpeakerLog()
    narrator = a_narrator(speaker, output, clock=lambda: now[0])
    for closes in ("Gate 14 closes at noon.", "Gate 14 closes at noom.", "Gate 14 closes at noon."):
        read(narrator, ["Welcome aboard.", closes])
        now[0] += 600
    assert speaker.said == ["Welcome aboard.", "Gate 14 closes at noon."]
    assert narrator.history.count == len(output.captions) == 1
    read(narrator, ["Welcome aboard.", "Gate 15 closes at noon."])
    assert speaker.said[2:] == ["Gate 15 closes at noon."]
    assert output.texts[1:] == ["Welcome aboard. Gate 15 closes at noon."]
    read(narrator, ["Gate 15 closes at noon."], question="read", asked=True)
    assert speaker.said[3:] == ["Gate 15 closes at noon."]
    assert narrator.history.count == 2
