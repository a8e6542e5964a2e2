"""Writes the tables of claims in docs/backend.md and docs/backend-plan.md, from the list of ``probe``.

Run it after a change to a claim: ``uv run python docs/claims.py``
"""

from __future__ import annotations

from pathlib import Path

from amplifier_module_provider_openai_chatgpt.probe.report import DOCUMENTS, claims_table
from amplifier_module_provider_openai_chatgpt.probe.rows import claims_of

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- claims: written by docs/claims.py -->", "<!-- end of claims -->"


def with_table(text: str, service: str) -> str:
    """Return a document with the present table between the two marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError("the document lacks a mark")
    return f"{before}{BEGIN}\n\n{claims_table(claims_of(service), service)}\n{END}{after}"


def main() -> None:
    """Write both documents."""
    for service, name in DOCUMENTS.items():
        path = ROOT / name
        path.write_text(with_table(path.read_text(encoding="utf-8"), service), encoding="utf-8")


if __name__ == "__main__":
    main()
