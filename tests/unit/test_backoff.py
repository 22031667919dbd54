"""The pauses between tries."""

from __future__ import annotations

from narrator.backoff import Backoff


def test_pauses_grow_to_the_last_one_and_begin_again_when_it_is_back() -> None:
    backoff = Backoff([0.5, 1.0, 8.0])
    assert backoff.wait_s() == 0.0
    assert [backoff.failed() for _ in range(5)] == [0.5, 1.0, 8.0, 8.0, 8.0]
    assert backoff.tries == 5
    assert 0.0 < backoff.wait_s() <= 8.0
    backoff.reset()
    assert (backoff.tries, backoff.wait_s()) == (0, 0.0)
    assert backoff.failed() == 0.5
