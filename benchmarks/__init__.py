"""Measures the provider's CPU time and memory and compares other clients (see README.md)."""
