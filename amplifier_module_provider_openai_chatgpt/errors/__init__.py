"""Translates every failure into an error class of Amplifier. Pure."""
