"""The line that is typed, a key at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrator.line_editor import EDITS, SAME, STEPS, LineEditor, width

LEFT, RIGHT, UP, DOWN, HOME, END = "\x1b[D", "\x1b[C", "\x1b[A", "\x1b[B", "\x1b[H", "\x1b[F"


def typed(keys: str, line: LineEditor | None = None) -> LineEditor:
    """A line after these keys."""
    line = line or LineEditor()
    for key in line.keys(keys):
        line.press(key)
    return line


def entered(keys: str) -> list[str]:
    """The lines that these keys enter."""
    line = LineEditor()
    return [text for key in line.keys(keys) if (text := line.press(key)) is not None]


@pytest.mark.parametrize(
    ("keys", "before", "after"),
    [
        ("what iz\x7fs", "what is", ""),
        ("wat" + LEFT * 9 + RIGHT + "h", "wh", "at"),
        ("is it" + HOME + "what ", "what ", "is it"),
        ("is" + HOME + "\x1b[3~" + END + "t", "st", ""),  # Delete
        ("one two" + LEFT + "\x17", "one ", "o"),  # Ctrl-W
        ("one two" + LEFT + "\x0b", "one tw", ""),  # Ctrl-K
        ("abc\x01\x04\x06\x05\x02", "b", "c"),  # Ctrl-A, D, F, E, B
        ("abc\x1bOH\x1bOC\x1b[4~\x1bOD", "ab", "c"),  # another terminal's keys
        ("abc\x1bOP\x1b[1;5D\x07\x1b[5~\x1bx", "abc", ""),  # F1, Ctrl-left, bell, page up, Alt-X
        ("caf\u00e9 \u732b" + LEFT, "caf\u00e9 ", "\u732b"),
    ],
)
def test_keys_move_the_cursor_and_change_what_is_there(keys: str, before: str, after: str) -> None:
    line = typed(keys)
    assert (line.before, line.after) == (before, after)


def test_up_and_down_bring_back_what_was_entered_and_what_was_not() -> None:
    line = typed("one\rtwo\rtwo\r\r  \rhal")
    seen = [typed(key, line).text for key in (UP, UP, UP, DOWN, DOWN, DOWN)]
    assert seen == ["two", "one", "one", "two", "hal", "hal"]
    assert entered("one\rtwo\r" + UP * 2 + " more\r" + UP + "\r")[2:] == ["one more"] * 2


def test_what_is_pasted_is_one_line_until_enter() -> None:
    assert entered("\x1b[200~one\r\ntwo\nq\r\x1b[201~") == []
    assert [line.split() for line in entered("\x1b[200~one\ntwo\nq\n\x1b[201~ three\r")] == [
        ["one", "two", "q", "three"]
    ]
    line = typed("\x1b[200~its end is lost\n")
    typed("", line)
    assert line.press("\r") == "its end is lost "


def test_a_key_whose_bytes_come_one_by_one_is_that_key() -> None:
    line = typed("ab")
    for byte in LEFT + "x":
        typed(byte, line)
    assert (line.before, line.after) == ("ax", "b")
    typed("\x1b", line)
    typed("", line)  # It was Escape alone.
    assert typed("[D", line).before == "ax[D"


KEYS = [*EDITS, *SAME, *STEPS, "\r", "\x1b[200~", "\x1b[201~"]


@given(
    st.lists(st.one_of(st.sampled_from(KEYS), st.text(max_size=3)), max_size=60),
    st.integers(-3, 200),
)
def test_whatever_is_typed_fits_on_a_row_and_can_steer_no_terminal(
    keys: list[str], columns: int
) -> None:
    line = LineEditor()
    for key in (one for each in keys for one in line.keys(each)):
        line.press(key)
        before, after = line.shown(columns)
        assert width(before + after) <= max(columns - 4, 1)
        assert line.before.endswith(before)
        assert line.after.startswith(after)
        assert before or not line.before or columns < 12
        assert not set(line.text) & set(map(chr, [*range(32), *range(127, 160)]))
        assert len(line.text) <= LineEditor.MAX_LENGTH
