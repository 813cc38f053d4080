"""The PCU as functions of arrays: it executes the hardware's own configuration words on complete input streams."""

from golden_model.pcu.run import Inputs, Outputs, rounds_of, run, run_round, turns_of

__all__ = ["Inputs", "Outputs", "rounds_of", "run", "run_round", "turns_of"]
