"""Run upstream's unchanged commands: map GPU numbers, apply overrides and explain bad input in the last line."""
