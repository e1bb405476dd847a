"""What reaches a terminal: no control character of a dataset's names, in whatever encoding.

A name with an escape sequence could change the title or the screen of who reads it.
"""

import io
import os
import sys

_PLAIN = str.maketrans({"–": "-", "…": "~"})
"""What stands for the characters of our tables where the encoding has none of them."""


def printable(text: str) -> str:
    """Return a text with all but letters, signs and the ends of lines escaped.

    Escaped are control characters, those that turn the direction of a text, and halves of pairs.
    """
    return "".join(c if c.isprintable() or c == "\n" else _escape(c) for c in text)


def one_line(text: str) -> str:
    """Return a text that a terminal can show in one line, whatever the files hold."""
    return printable(text).replace("\n", "\\n")


def encodable(text: str, encoding: str) -> str:
    """Return a text of which an encoding has all characters; others are escaped."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        plain = text.translate(_PLAIN).encode(encoding, "backslashreplace")
        return plain.decode(encoding)
    return text


def say(text: str, *, to_stderr: bool = False) -> None:
    """Print a text as one line, whatever it holds."""
    stream = sys.stderr if to_stderr else sys.stdout
    stream.write(encodable(one_line(text), stream.encoding or "utf-8") + "\n")
    stream.flush()


def tell(remark: str) -> None:
    """Print what a user should know beside the answer: a line on stderr."""
    say(f"note: {remark}", to_stderr=True)


def prepare_streams() -> None:
    """Make standard streams that are closed lead nowhere, and the others take any character."""
    # Else the next files that are opened get their numbers, and what is printed goes into them.
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(opened)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
