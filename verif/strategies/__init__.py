"""Hypothesis strategies that draw legal programs of the units, simplest first."""
