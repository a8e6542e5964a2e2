"""The measurements: one module per subject, each with ``measure(bench)``."""
