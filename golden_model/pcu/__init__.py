"""The PCU as functions of arrays: it executes the hardware's own configuration words on complete input streams."""

from golden_model.pcu.run import Inputs, Outputs, run

__all__ = ["Inputs", "Outputs", "run"]
