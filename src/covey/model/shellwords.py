"""Shell quoting of values, and which command lines mean the same without a shell.

Everything is bytes: an item may hold any byte but NUL. Used by `template` on the client and, inside
the runner, on the machines; standard library only.
"""

import re

_BARE = re.compile(rb"[A-Za-z0-9_+./-]+\Z")

#: One lexical element of a command line that every POSIX shell reads alike: blanks, a
#: single-quoted text or characters without any meaning of their own.
_ELEMENT = re.compile(rb"(?P<blank>[ \t]+)|'(?P<quoted>[^']*)'|(?P<bare>[A-Za-z0-9_+./,:@%=-]+)")

#: Words that the shell does not look up as programs: reserved words and builtins of sh, bash, dash,
#: ksh and zsh.
SHELL_WORDS = frozenset(
    b". : alias bg bind break builtin caller case cd chdir command compgen complete compopt"
    b" continue coproc declare dirs disown do done elif else emulate enable esac eval exec exit"
    b" export fc fg fi for foreach function functions getopts hash help history if in integer jobs"
    b" kill let limit local logout mapfile noglob nocorrect popd print printf pushd pwd read"
    b" readarray readonly repeat return select set setopt shift shopt source suspend test then time"
    b" times trap type typeset ulimit umask unalias unlimit unset until wait whence where which"
    b" while".split()
)

#: Builtins whose program of the same name does the same, as long as no argument looks like an
#: option and none holds a backslash (`echo` of dash and bash differ there).
TWINS = frozenset({b"echo", b"true", b"false"})


def quote(value: bytes) -> bytes:
    """`value` as one word of a shell command line, spelled as GNU parallel spells it."""
    if _BARE.match(value):
        return value
    if b"'" not in value:
        return b"'" + value + b"'"
    text = b"'" + value.replace(b"'", b"'\"'\"'") + b"'"
    return text[2 if value[:1] == b"'" else 0 : -2 if value[-1:] == b"'" else None]


def program_is_plain(word: bytes) -> bool:
    """Whether a first word names a program: no builtin, reserved word or assignment."""
    return bool(word) and b"=" not in word and word not in SHELL_WORDS


def arguments_are_plain(argv: list[bytes]) -> bool:
    """Whether `argv`, whose first word is plain, does without a shell what it does within one."""
    if argv[0] not in TWINS:
        return True
    return not any(word[:1] == b"-" or b"\\" in word for word in argv[1:])


def elements(text: bytes) -> list[bytes | None] | None:
    """Cuts literal text of a command line into word pieces; None between them stands for blanks.

    Returns None when any character could mean something to a shell.
    """
    found: list[bytes | None] = []
    at = 0
    while at < len(text):
        match = _ELEMENT.match(text, at)
        if match is None:
            return None
        if match.lastgroup == "blank":
            found.append(None)
        else:
            found.append(match[match.lastgroup or 0])
        at = match.end()
    return found


def plain_argv(text: bytes) -> list[bytes] | None:
    """The words of a whole command line, or None when only a shell can run it."""
    pieces = elements(text)
    if pieces is None:
        return None
    argv: list[bytes] = []
    open_word = False
    for piece in pieces:
        if piece is None:
            open_word = False
        elif open_word:
            argv[-1] += piece
        else:
            argv.append(piece)
            open_word = True
    if not argv or not program_is_plain(argv[0]) or not arguments_are_plain(argv):
        return None
    return argv
