"""OVS's dpctl commands over the unixctl socket: the table of them, and the rules of their arguments.

Names, usage, output and errors are OVS's own. Where OVS drops an argument without a word (an option behind a word, an
unknown datapath, a number that does not fit), it is refused here.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from ctoffload_dpdk.control.system import System

PROGRAM = "ctoffload"
DATAPATH = "netdev@ctoffload"
ANY = 1 << 16

OPTIONS = {"m": "more", "s": "statistics"}
LONG_OPTIONS = ("more", "statistics", "names", "no-names", "clear", "may-create")

# The text of an answer, in steps where it takes a while: None for each step.
Steps = Generator[None, None, str]


class DpctlError(Exception):
    """What dpctl refuses: the text, and an errno whose words are put behind it; 0: the text alone."""

    def __init__(self, text: str, number: int = errno.EINVAL) -> None:
        super().__init__(text)
        self.text = text
        self.number = number

    def __str__(self) -> str:
        return f"{PROGRAM}: {self.text} ({os.strerror(self.number)})\n" if self.number else self.text


@dataclass
class Arguments:
    """The words of a command: options taken out, then what is left."""

    words: list[str] = field(default_factory=list)
    options: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, words: Sequence[str]) -> Arguments:
        """Takes the options out of the words. Raises DpctlError for one that is none."""
        found = cls()
        for word in words:
            if word.startswith("--"):
                if word[2:] not in LONG_OPTIONS:
                    raise DpctlError(f"Unrecognized option {word}", 0)
                found.options.add(word[2:])
            elif word.startswith("-") and len(word) > 1:
                for letter in word[1:]:
                    if letter not in OPTIONS:
                        raise DpctlError(f"Unrecognized option -{letter}", 0)
                    found.options.add(OPTIONS[letter])
            else:
                found.words.append(word)
        return found

    def take_datapath(self, is_argument: Callable[[str], bool] = lambda word: False) -> None:
        """Takes the datapath's name off, where it is given. Raises DpctlError for one that there is not."""
        if not self.words or is_argument(self.words[0]):
            return
        if self.words[0] != DATAPATH:
            raise DpctlError("datapath not found")
        del self.words[0]

    def nothing_more(self) -> None:
        if self.words:
            raise DpctlError("invalid arguments")


def begins_with(*starts: str) -> Callable[[str], bool]:
    """Whether a word is an argument of the command, by its start."""
    return lambda word: word.startswith(starts)


def number_of(text: str, limit: int) -> int | None:
    """A number in decimal or 0x; None where it is none, or does not fit below the limit."""
    try:
        is_plain = len(text) < 30 and text.isascii() and "_" not in text
        value = int(text, 16 if text.lower().startswith("0x") else 10) if is_plain else -1
    except ValueError:
        return None
    return value if 0 <= value < limit and text == text.strip() and not text.startswith("+") else None


def zone_of(word: str) -> int:
    """The zone of "zone=N". Raises DpctlError for what is none."""
    zone = number_of(word.removeprefix("zone="), 1 << 16)
    if zone is None:
        raise DpctlError("failed to parse zone")
    return zone


@dataclass(frozen=True)
class DpctlCommand:
    """One command. least, most: how many words it takes, options included."""

    name: str
    usage: str
    least: int
    most: int
    run: Callable[[System, Arguments], str | Steps]


def commands() -> dict[str, DpctlCommand]:
    """All of them, in OVS's order, by name without "dpctl/"."""
    from ctoffload_dpdk.control.dpctl_flush import FLUSH_COMMANDS  # noqa: PLC0415 - they need what is above
    from ctoffload_dpdk.control.dpctl_fragments import FRAGMENT_COMMANDS  # noqa: PLC0415
    from ctoffload_dpdk.control.dpctl_limits import LIMIT_COMMANDS  # noqa: PLC0415
    from ctoffload_dpdk.control.dpctl_show import SHOW_COMMANDS  # noqa: PLC0415

    listed = (*SHOW_COMMANDS, *FLUSH_COMMANDS, *LIMIT_COMMANDS, *FRAGMENT_COMMANDS)
    return {command.name: command for command in listed}
