"""The token fabric: configured single-bit wires from switch to switch."""

from typing import Any

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.config import COMMIT, ConfigRegisters, config_port
from hdl.rdn.config import SIDES, TokenSizes, token_layout


class TokenSwitch(wiring.Component):
    """Every outgoing wire and every token to a unit follows one incoming wire or one token from a unit, as configured.

    - Latency: one cycle a switch. A token is a pulse of one cycle; one a cycle on every wire; nothing is held back, so
      nothing is lost here either.
    - ``side_in``, ``side_out``: ``wires`` wires on each side; ``local_in``, ``local_out``: tokens from and to units.
    - A quiet switch changes no register.
    """

    def __init__(self, sizes: TokenSizes) -> None:
        self.sizes = sizes
        super().__init__(
            {
                "side_in": In(sizes.wires).array(SIDES),
                "side_out": Out(sizes.wires).array(SIDES),
                "local_in": In(sizes.locals_in),
                "local_out": Out(sizes.locals_out),
                "bus": In(config_port()),
                "commit": In(COMMIT),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.config = config = ConfigRegisters(token_layout(self.sizes), 0)
        connect(m, flipped(self.bus), config.bus)
        m.d.comb += config.commit.eq(self.commit)
        sources = Cat(0, *self.side_in, self.local_in)  # choice 0 is silence
        choices: list[Any] = [choice for side in config.active.sides for choice in side]
        choices += list(config.active.outputs)
        outputs = Cat(*self.side_out, self.local_out)
        with m.If(sources.any() | outputs.any()):
            m.d.sync += outputs.eq(Cat(sources.bit_select(choice, 1) for choice in choices))
        return m
