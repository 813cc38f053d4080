"""The far end of a serial line in simulation: bytes to ``rx`` and from ``tx`` of a model, in simulated time."""

from verif.sim import Ports

FRAME = 10  # bits on the line for a byte


class SimulatedLine:
    """A :class:`coe_mapping.serial_line.Line` at ``bit`` cycles a bit, which need not be a whole number.

    ``patience``: cycles that a read waits for a byte.
    """

    def __init__(self, model: Ports, bit: float, patience: int = 20_000) -> None:
        self.model, self.bit, self.patience = model, bit, patience
        self._came: list[int] = []
        self._frame: list[int] = []
        self._now = 0
        self._sample = 0.0
        model["rx"] = 1

    def write(self, data: bytes) -> None:
        for byte in data:
            self.drive(byte << 1 | 1 << FRAME - 1)

    def drive(self, bits: int) -> None:
        """The levels of one frame, first bit lowest; for a byte a zero, the byte, a one."""
        begin = self._now
        for i in range(FRAME):
            self.model["rx"] = bits >> i & 1
            while self._now < begin + (i + 1) * self.bit:
                self._tick()
        self.model["rx"] = 1

    def idle(self, cycles: int) -> None:
        for _ in range(cycles):
            self._tick()

    def read(self, size: int) -> bytes:
        waited = 0
        while len(self._came) < size and waited < self.patience:
            self._tick()
            waited += 1
        taken, self._came = self._came[:size], self._came[size:]
        return bytes(taken)

    def _tick(self) -> None:
        """One cycle; what comes back meanwhile is sampled in the middle of its bits."""
        self.model.tick()
        self._now += 1
        level = self.model["tx"]
        if not self._frame and level:
            return
        if not self._frame:
            self._frame, self._sample = [level], self._now + 1.5 * self.bit
        elif self._now >= self._sample:
            self._frame.append(level)
            self._sample += self.bit
            if len(self._frame) == FRAME:
                assert level, "a byte came without its stop bit"
                self._came.append(sum(bit << i for i, bit in enumerate(self._frame[1 : FRAME - 1])))
                self._frame = []
