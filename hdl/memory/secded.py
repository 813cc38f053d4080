"""SECDED beside the data: the check bits of each word of a beat travel on WUSER and RUSER."""

from amaranth.hdl import Cat, Module, Value

from hdl import ecc


def check_width(width: int) -> int:
    """Check bits of a word of ``width`` data bits: 8 of 64, 7 of 32."""
    return ecc.code_width(width) - width


def check(word: Value) -> Value:
    """The check bits of ``word``: bits 0, 1, 2, 4, 8, ... of its code word. Combinational."""
    code = ecc.encode(word)
    return Cat(code[p] for p in _check_positions(len(word)))


def checks(beat: Value, words: int) -> Value:
    """The check bits of every word of ``beat``, word 0 lowest."""
    width = len(beat) // words
    return Cat(check(beat[i * width : (i + 1) * width]) for i in range(words))


def correct(m: Module, word: Value, check_bits: Value, name: str) -> ecc.Decoded:
    """The word as corrected by its check bits."""
    width = len(word)
    bits: dict[int, Value] = dict(zip(ecc.data_positions(width), word, strict=True))
    bits |= dict(zip(_check_positions(width), check_bits, strict=True))
    return ecc.decode(m, Cat(bits[p] for p in range(ecc.code_width(width))), width, name)


def _check_positions(width: int) -> list[int]:
    data = set(ecc.data_positions(width))
    return [p for p in range(ecc.code_width(width)) if p not in data]
