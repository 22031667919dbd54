"""What a model generates becomes what a person reads and hears: plain text, cut into sentences. It
comes in pieces; a sentence leaves as soon as the next one begins.
"""

from __future__ import annotations

import html
import re

from sentencex import segment

# ------------------------------------------------------------------------------------ plain text

# As DeepSeek, Qwen, Mistral, Kimi, gpt-oss and Gemma mark thoughts.
TAG = "(?:think|thinking|thought|reasoning)"
OPENING = rf"(?:<{TAG}>|◁think▷|\[THINK\]|<\|channel\|?>\s*(?:analysis|thought)\b)"
CLOSING_TAG = rf"(?:</{TAG}>|◁/think▷|\[/THINK\])"
THOUGHTS = re.compile(rf"{OPENING}(?s:.*?)(?:{CLOSING_TAG}|<\|end\|>|<channel\|>)")
LONGEST_MARK = 32  # characters
# What may still become something else: an open tag, the first part of a link, a word with marks.
UNSETTLED = re.compile(
    r"(?:<[^<>\n]{0,80}>?\S*|!?\[[^\[\]\n]{0,200}(?:\](?:\((?:[^()\n]*|\S*)\)?\S*)?)?|(?<!\S)!"
    r"|\S*[`*_~#|\\/&:+=>◁•-]\S*|\b(?:h|ht|htt|https?|ww?|www\S*))\Z"
)
FIRST_WORD = re.compile(r"\S*\Z")  # may become one of these:
PREFIXES = re.compile(
    r"(?:\s*(?:assistant|caption|answer|description|response)\s*:\s*)+", re.IGNORECASE
)
MARKUP = [
    (re.compile(pattern), plain)
    for pattern, plain in (
        (r"(?:<\|(?:im_start|start|channel|start_header_id)\|>|<start_of_turn>)\w*", ""),
        (r"<[|\uff5c][^<>\n]{1,60}>|<[^<>\n]{1,60}[|\uff5c]>|\[/?INST\]", ""),  # special tokens
        (r"</?(?:s|eos|bos|pad|unk|image|[a-z]+[_-][\w-]+)>", ""),
        (r"</?(?:br|p|b|i|u|em|strong|code|answer|caption)\b[^<>\n]*>", " "),
        (r"(?<=\n)[ \t]*```\w*", ""),
        (r"(?<=\n)[ \t]*(?:#{1,6}|[-*+•]|>+)(?:[ \t]+|$)", ""),  # headings, lists, quotations
        (r"(?<=\n)[ \t|]*(?::?[-*_=]{3,}:?[ \t|]*)+(?=\n|$)", ""),  # rules
        (r"(?:(?<=\s)|^)\|(?=\s|$)[ \t]*", ""),  # tables
        (r"!?\[([^\[\]\n]*)\]\((?:[^()\n]|\([^()\n]*\))*\)", r"\1"),
        (r"<(https?://[^<>\s]+)>", r"\1"),
        (
            r"(?:https?://(?:www\.)?|\bwww\.)([\w.-]*\w)(?:[/:?#]\S*?)?(?=[.,;:!?)\"']*(\s|$))",
            r"\1",
        ),
        (r"\\([\\`*_{}\[\]()#+.!|>~-])", r"\1"),
        (r"\*\*|~~|`+", ""),
        (r"(?<![\w*_])[*_]{1,3}(?=[^\s*_])|(?<=[^\s*_])[*_]{1,3}(?!\w)", ""),
    )
]  # fmt: skip


class Cleaner:
    """Rids generated text of thoughts, special tokens, markdown, what stands behind links, and
    words such as "Assistant:" in front. thought: there were thoughts."""

    def __init__(self) -> None:
        self.thought = False
        self._raw = ""
        self._begun = False
        self._before = "\n"

    def add(self, piece: str, ended: bool = False) -> str:
        """Take in a piece, the last one if the model has ended. Returns what is plain text by now,
        as far as it was not returned before."""
        piece = piece.encode("utf-8", "ignore").decode()  # without halves of characters
        raw, thoughts = THOUGHTS.subn("", self._raw + piece)
        raw = re.sub(rf"(?s:.*){CLOSING_TAG}", "\n", raw)  # Where the prompt opened them.
        opened = re.search(OPENING, raw)
        unsettled = UNSETTLED.search(raw) or (not self._begun and FIRST_WORD.search(raw))
        self.thought = self.thought or thoughts > 0 or opened is not None
        if opened:
            raw = raw[: opened.end()] + raw[opened.end() :][-LONGEST_MARK:]
            settled = opened.start()
        else:
            settled = len(raw) if ended or not unsettled else unsettled.start()
        self._raw = raw[settled:]
        return self._plain(raw[:settled])

    def _plain(self, text: str) -> str:
        if not text:
            return ""
        text = self._before + text
        for pattern, plain in MARKUP:
            text = pattern.sub(plain, text)
        self._before = "\n" if re.search(r"\n[ \t]*\Z", text) else text[-1]
        text = html.unescape(text[1:])
        if not self._begun:
            if prefixes := PREFIXES.match(text):
                text = text[prefixes.end() :]
            self._begun = bool(text.strip())
        return text


# ------------------------------------------------------------------------------------- sentences

CJK_ENDING = "\u3002\uff01\uff1f"
ENDING = f".!?\u2026{CJK_ENDING}\"')\u201d\u2019"
GOES_ON = re.compile(r"\A\s*\(?\d{1,3}[.)]\s*\Z|\b[A-Z]\.\s*\Z")  # numbers of lists, initials


def sentences_in(text: str) -> list[str]:
    """The sentences of a text; the last one may go on, and be nothing yet. A line ends one, too."""
    found = [""]
    for line in text.splitlines(keepends=True):
        for part in segment("en", line):
            before = found[-1]
            apart = re.search(rf"[\s{CJK_ENDING}]\Z", before) and not GOES_ON.search(before)
            if apart and not part[0].islower():
                found.append(part)
            else:
                found[-1] += part
        if line.endswith("\n"):
            found.append("")
    return found


class Sentences:
    """Cuts text into sentences. looping: a phrase was said three times in a row, and what follows
    is not worth waiting for."""

    def __init__(self) -> None:
        self.looping = False
        self._rest = ""
        self._whole = False  # a sentence was handed out

    def add(self, text: str) -> list[str]:
        """Take in more text. Returns the sentences that are whole by now."""
        if self.looping:
            return []
        known, rest = len(self._rest), self._rest + text
        loop_at = loop_in(rest, known, ended=False)
        self.looping = loop_at is not None
        *done, self._rest = sentences_in(rest[:loop_at])
        return self._handed_out(done)

    def end(self, cut: bool) -> list[str]:
        """What is left when the model has ended. cut: by --max-tokens, not by itself, so that a
        broken sentence is dropped, unless it is the only one."""
        *done, rest = sentences_in(self._rest[: loop_in(self._rest, len(self._rest), ended=True)])
        said = self._handed_out(done)
        self._rest, rest = "", rest.strip()
        if rest and not ((cut or self.looping) and self._whole and rest[-1] not in ENDING):
            said.append(rest)
        return said

    def _handed_out(self, done: list[str]) -> list[str]:
        done = list(filter(None, map(str.strip, done)))
        self._whole = self._whole or any(one[-1] in ENDING for one in done)
        return done


class PlainSentences:
    """Generated text, cleaned and cut into sentences. thought: there were thoughts. looping: as in
    Sentences."""

    def __init__(self) -> None:
        self._cleaner, self._sentences = Cleaner(), Sentences()
        self._cut = self.looping = False

    @property
    def thought(self) -> bool:
        return self._cleaner.thought

    def add(self, text: str, cut: bool = False) -> list[str]:
        """Take in more text. cut: --max-tokens ended it there. Returns the sentences that are whole
        by now."""
        self._cut = cut
        found = self._sentences.add(self._cleaner.add(text))
        self.looping = self._sentences.looping
        return found

    def end(self) -> list[str]:
        """What is left when the model has ended."""
        rest = self._sentences.add(self._cleaner.add("", ended=True))
        return [*rest, *self._sentences.end(self._cut)]


def loop_in(text: str, known: int, ended: bool) -> int | None:
    """Where a phrase that stands there three times in a row ends for the first time; None if there
    is none. known: up to there the words before the last one were looked at already. ended: the
    last word is whole, whatever follows."""
    words = [word for word in re.finditer(r"\w+", text) if ended or word.end() < len(text)]
    said = [word[0].casefold() for word in words]
    for end, word in enumerate(words, 1):
        for length in range(1, end // 3 + 1 if word.end() >= known else 1):
            first, second = end - 2 * length, end - length
            if (
                said[first - 1] == said[second - 1] == said[end - 1]
                and (  # else no slice is needed
                    said[first - length : first] == said[first:second] == said[second:end]
                )
            ):
                return words[first - 1].end()
    return None
