"""Amplifier provider for a ChatGPT subscription."""
