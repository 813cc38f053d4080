"""Control shared by every unit: nested counters, tokens."""
