"""What light alone does to a picture: exposure, white balance, a lamp that flickers."""

from __future__ import annotations

import numpy as np

from narrator.scene.looks import Look, upper_median

DARK, CLIPPED = 16.0, 245.0  # levels; below and above, a ratio means nothing
FEWEST = 20  # cells, from which a ratio is taken
# What is taken for light, not for a change of the scene, as factors:
EXPOSURE = (0.6, 1.67)
WHITE_BALANCE = (0.8, 1.25)  # one colour against the middle one
FLICKER = (0.8, 1.25)  # stripes, where a sensor is read row by row


def light_between(before: Look, now: Look) -> np.ndarray:
    """The factors by which light alone makes `before` look like `now`: one a colour, times one a
    row; float32, (48, 1, 3).

    They are medians of ratios, so that an object has no say in them. One column in three is enough,
    as a look averages as many.
    """
    was, is_now = before[:, 1::3], now[:, 1::3]
    usable = ((was > DARK) & (was < CLIPPED) & (is_now < CLIPPED)).all(axis=2)
    if usable.sum() < FEWEST:
        return np.ones((1, 1, 3), np.float32)
    ratio = is_now / np.maximum(was, DARK)
    colours = upper_median(np.ascontiguousarray(ratio[usable].T))
    green = max(float(colours[1]), 0.01)
    rows = [
        upper_median(row[good]) if good.sum() > 4 else green
        for row, good in zip(ratio[:, :, 1], usable)
    ]
    common = np.clip(upper_median(colours), *EXPOSURE)
    colours = np.clip(colours, common * WHITE_BALANCE[0], common * WHITE_BALANCE[1])
    stripes = np.clip(np.array(rows) / green, *FLICKER)
    return np.asarray(stripes[:, None, None] * colours, np.float32)
