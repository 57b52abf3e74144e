"""Splits a shell command into simple commands, as far as a check of their arguments needs it."""

import re
from collections.abc import Iterator

SUBSTITUTION = re.compile(r"\$\([^()]*\)|`[^`]*`")
TOKEN = re.compile(
    r"""
      (?P<blank> [ \t\r]+ | \\\n | \#[^\n]* )
    | (?P<redirection> &>>? | \d*(?: <<< | <<-? | >> | [<>]& | <> | >\| | [<>] ) )
    | (?P<separator> [;&|()\n]+ )
    | (?P<word> (?: '[^']*' | "(?:\\.|[^"\\])*" | \\. | [^\s;&|()<>'"\\] )+ )
    | (?P<unclosed> .+ )
    """,
    re.VERBOSE | re.DOTALL,
)


def split_commands(text: str) -> Iterator[list[str]]:
    """Yields the words of each simple command, still quoted, without redirections.

    What the shell only knows when it runs stays a word with a `$`: variables as they are, `$(date)` as `$output`.
    """
    words: list[str] = []
    is_target = False
    for token in TOKEN.finditer(SUBSTITUTION.sub("$output", text)):
        if token.lastgroup == "separator":
            yield words
            words = []
        elif token.lastgroup in ("word", "unclosed") and not is_target:
            words.append(token[0])
        is_target = token.lastgroup == "redirection" or (is_target and token.lastgroup == "blank")
    yield words
