"""Checks, with a real account, what this project believes about the service: docs/probe.md."""
