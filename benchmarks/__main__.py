"""``uv run --group bench python -m benchmarks``: runs all benchmarks and prints one table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path

from .bench import Bench, WrongAnswerError
from .chart import draw
from .metrics import body, growth, life, memory, peers, small_calls, startup, streaming
from .rows import Report, table

SUBJECTS = {
    "streaming": streaming,
    "small_calls": small_calls,
    "memory": memory,
    "body": body,
    "startup": startup,
    "growth": growth,
}
# Only on request, because the first installs other clients from a package index.
SUBJECTS_ON_REQUEST = {"peers": peers, "life": life}
ALL_SUBJECTS = SUBJECTS | SUBJECTS_ON_REQUEST


def main() -> int:
    """Return 1 if a client's answer was wrong; slow results are not failures."""
    options = _options()
    report = Report()
    try:
        with Bench(quick=options.quick) as bench:
            for name in options.only or SUBJECTS:
                print(f"measuring {name} …", file=sys.stderr)
                found = ALL_SUBJECTS[name].measure(bench)
                report.rows += found.rows
                report.curves += found.curves
                report.lives += found.lives
    except WrongAnswerError as wrong:
        print(wrong, file=sys.stderr)
        return 1
    print(as_json(report) if options.json else f"Measured on {machine()}.\n\n{table(report.rows)}")
    if options.chart:
        options.chart.write_text(draw(report, machine()))
    return 0


def machine() -> str:
    """Describe the machine: cores, system and Python version."""
    return f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def as_json(report: Report) -> str:
    """The report as JSON."""
    curves, lives = (
        [{"name": curve.name, "unit": curve.unit, "cpu": curve.points()} for curve in found]
        for found in (report.curves, report.lives)
    )
    rows = [row.to_dict() for row in report.rows]
    return json.dumps({"machine": machine(), "rows": rows, "curves": curves, "lives": lives}, indent=2)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, less than a minute")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument(
        "--chart", type=Path, metavar="FILE.svg", help="draw the main ratios and the growth of cost"
    )
    names = ", ".join(ALL_SUBJECTS)
    parser.add_argument("--only", nargs="+", choices=ALL_SUBJECTS, metavar="SUBJECT", help=names)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
