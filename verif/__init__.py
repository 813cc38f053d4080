"""Verification: simulation service, stream drivers and checkers, benches, formal proofs, campaigns, defects."""
