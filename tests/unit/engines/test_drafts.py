"""What is guessed from earlier captions."""

from __future__ import annotations

from narrator.engines.drafts import DraftCache


def test_a_guess_is_what_followed_the_same_words_last() -> None:
    drafts = DraftCache(3)
    for said in ([1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 9, 4, 5], [7, 2, 3]):
        drafts.keep(said)
    assert drafts.guess([1, 2, 3]) == [4, 5, 6, 7, 8]
    assert drafts.guess([66, 2, 3]) == [4, 5, 6, 7, 8]
    assert drafts.guess([1]) == [2, 9, 4, 5]  # the newer one; both are the first
    assert drafts.guess([66, 7, 2]) == [3]  # there was no more
    assert drafts.guess([66, 4]) == []  # one alone is not enough
    assert drafts.guess([66]) == []
    drafts.keep([8, 8, 8])  # and the oldest is forgotten
    assert drafts.guess([66, 2, 3]) == []
