"""What to mind with the processor that a library has for a model of another family."""

from __future__ import annotations

import numpy as np
import pytest

from narrator.errors import ModelError, UsageError
from narrator.models.other_families import split_into_tiles, taking_several
from support.asking import clip_of

GREY = np.full((48, 64, 3), 100, np.uint8)


class Library:
    """A library's processor, of a model that looks at tiles."""

    class image_processor:
        do_image_splitting = True


def test_a_librarys_processor_is_told_whether_to_split_a_frame() -> None:
    for detail in (False, True):
        split_into_tiles(Library, detail)
        assert Library.image_processor.do_image_splitting is detail


def test_detail_is_refused_by_a_model_that_knows_of_no_tiles() -> None:
    split_into_tiles(object(), False)
    with pytest.raises(UsageError, match="--detail is for models that look at tiles"):
        split_into_tiles(object(), True)


def test_what_fails_at_several_frames_is_told_with_what_to_leave_out() -> None:
    message = r"does not take 2 frames at once \(one only\); leave --frames out"
    with pytest.raises(ModelError, match=message), taking_several(clip_of(GREY, GREY)):
        raise ValueError("one only")
    with pytest.raises(ValueError, match="one only"), taking_several(clip_of(GREY)):
        raise ValueError("one only")
