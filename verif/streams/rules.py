"""The stream rules, checked in every cycle on every stream of every bench.

1. Once valid is high, valid and payload stay until the transfer.
2. Valid does not wait for ready. Each bench begins with a patient phase: for the first transfers of every output
   stream, ready is raised only in cycles that already show valid. If nothing moves for a while ready is raised as a
   probe; valid that answers three probes in a row, after three different waits, is waiting for ready.
3. No unknown value (X) on valid, ready, or a valid payload. Only a four-state simulator (Icarus) can see one.
4. No combinational path from an input to an output: nothing the design drives may move when the bench drives, half a
   clock away from the edge. Compared in the first cycles, in the patient phase, and in every eighth from then on.

The formal twin is :class:`verif.formal.StreamRules`.
"""

from verif.streams.payload import describe
from verif.streams.ports import BenchError, StreamPort

PATIENT_TRANSFERS = 4
PATIENCE = (64, 101, 167)  # cycles without any transfer before each probe; unequal, so a fixed latency cannot match all
PROBE = 4  # cycles
EVERY_CYCLE_UNTIL = 64
EVERY = 8


class RuleChecker:
    """Rules 1, 3 and 4 on one stream; the state is that of one run since reset."""

    def __init__(self, port: StreamPort) -> None:
        self._port = port
        self._held: int | None = None  # bits of a payload that was valid and not taken
        self._before: tuple[bool, int] | None = None

    def before_drive(self, cycle: int, always: bool = False) -> None:
        """Notes what the design drives before the bench drives."""
        self._before = None
        if always or cycle < EVERY_CYCLE_UNTIL or cycle % EVERY == 0:
            if self._port.spec.from_design:
                valid = self._port.read_valid()
                self._before = valid, self._port.read_payload() if valid else 0
            else:
                self._before = self._port.read_ready(), 0

    def check(self, cycle: int, valid: bool, bits: int, ready: bool) -> None:
        """One settled cycle of a stream that the design drives."""
        if self._before not in (None, (valid, bits)):
            self._combinational(cycle, "valid or payload")
        if self._held is not None:
            where, shape = f"{self._port.what}, cycle {cycle}", self._port.spec.shape
            if not valid:
                raise BenchError(f"{where}: valid fell before {describe(shape, self._held)} was taken")
            if bits != self._held:
                old, new = describe(shape, self._held), describe(shape, bits)
                raise BenchError(f"{where}: payload changed from {old} to {new} before it was taken")
        self._held = bits if valid and not ready else None

    def check_ready(self, cycle: int, ready: bool) -> None:
        """One settled cycle of a stream that the bench drives."""
        if self._before not in (None, (ready, 0)):
            self._combinational(cycle, "ready")

    def _combinational(self, cycle: int, what: str) -> None:
        raise BenchError(
            f"{self._port.what}, cycle {cycle}: {what} moved when the bench drove an input: "
            "there is a combinational path from an input port to an output port"
        )


class PatienceChecker:
    """Rule 2 on one stream that the design drives."""

    def __init__(self, port: StreamPort) -> None:
        self._port = port
        self._left = PATIENT_TRANSFERS
        self._probe = 0  # cycles of the present probe still to come
        self._answers = 0  # probes in a row that valid answered
        self._cooling = 0  # cycles to hold ready low after an answer, so that what comes next is no answer to it
        self._waited = 0  # quiet cycles at which the last probe ended

    @property
    def active(self) -> bool:
        return self._left > 0 and not self._port.spec.signature.always_valid

    def ready(self, quiet: int) -> bool:
        """Whether to be ready now; ``quiet`` counts cycles since the last transfer on any stream."""
        if quiet < self._waited:
            self._waited = 0
        if self._cooling:
            self._cooling -= 1
            return False
        if self._probe:
            self._probe -= 1
            self._waited = quiet
            return True
        if self._port.read_valid():
            self._waited = 0  # it came by itself
            return True
        if quiet - self._waited >= PATIENCE[self._answers]:
            self._probe = PROBE - 1
            self._waited = quiet
            return True
        return False

    def check(self, cycle: int, valid: bool, ready: bool) -> None:
        """One settled cycle."""
        if not (self.active and valid and ready):
            return
        if not self._waited:
            self._left, self._answers = self._left - 1, 0
            return
        self._answers, self._probe, self._waited, self._cooling = self._answers + 1, 0, 0, PROBE
        if self._answers == len(PATIENCE):
            raise BenchError(
                f"{self._port.what}, cycle {cycle}: valid waits for ready (it stayed low while ready was low and rose "
                f"within {PROBE} cycles of ready, {self._answers} times)"
            )
