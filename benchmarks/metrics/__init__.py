"""What is measured: one file for each subject, each with ``measure(bench)``."""
