"""Tokens that are likely to come next, for an engine that checks several of them in one step."""

from __future__ import annotations

MAX_GUESS = 5  # tokens


class DraftCache:
    """The last captions, to guess from: those of one camera have most of their words in common.

    The model checks each token, so a wrong guess costs half a step and nothing else. But oneDNN
    adds several rows up in another order than torch adds one: in bfloat16, between two tokens that
    are as good as each other, a guess may decide.
    """

    START = -1  # no token: it stands before the first one
    COMPARED = (3, 2)  # tokens; after one alone a guess is wrong too often

    def __init__(self, captions: int) -> None:
        self._most = captions
        self._captions: list[list[int]] = []  # newest first

    def keep(self, said: list[int]) -> None:
        """Remember a caption's tokens."""
        caption = [self.START, *said]
        others = [other for other in self._captions if other != caption]
        self._captions = [caption, *others][: self._most]

    def guess(self, said: list[int]) -> list[int]:
        """The tokens that followed the last time the same ones were said, if ever they were."""
        said = [self.START, *said]
        for compared in self.COMPARED:
            for caption in self._captions:
                for end in range(compared, len(caption)):
                    if caption[end - compared : end] == said[-compared:]:
                        return caption[end : end + MAX_GUESS]
        return []
