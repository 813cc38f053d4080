"""Commands of the launch sequencer as words, and lists of them as bytes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hdl.config import pack
from hdl.errors import ParameterError
from hdl.host.format import COMMAND_WORDS, COMMANDS, Opcode


def command(opcode: Opcode, **fields: Any) -> list[int]:
    """The eight words of one command; ``hdl.host.format.COMMANDS`` has the fields.

    Raises:
        ParameterError: a field that the command does not have, or a value that does not fit.
    """
    try:
        words = pack(COMMANDS[opcode], {"opcode": opcode, **fields})
    except ParameterError as error:
        raise ParameterError(f"command {opcode.name}: {error}") from error
    return words + [0] * (COMMAND_WORDS - len(words))


def command_list(commands: Sequence[Sequence[int]]) -> bytes:
    """A list in memory, for LIST."""
    return np.array(commands, "<u4").tobytes()
