"""The routing matrix that comes with this package, and how it gets to where Amplifier looks for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .. import files

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "openai-chatgpt"
Outcome = Literal["installed", "replaced", "unchanged", "kept"]


def packaged() -> bytes:
    """Return the matrix of this version: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parents[1]
    places = [folder / "routing" / f"{NAME}.yaml" for folder in (package, package.parent)]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"The routing matrix is missing from this installation: {places[0]}")
    return found.read_bytes()


def destination() -> Path:
    """Return the place where Amplifier finds a matrix by its name."""
    return Path.home() / ".amplifier" / "routing" / f"{NAME}.yaml"


def install(target: Path, may_replace: Callable[[Path], bool]) -> Outcome:
    """Put the matrix there; one that differs is replaced only if ``may_replace`` says so."""
    content = packaged()
    there = target.read_bytes() if target.exists() else None
    if there == content:
        return "unchanged"
    if there is not None and not may_replace(target):
        return "kept"
    files.replace(target.resolve(), content, mode=0o644)
    return "installed" if there is None else "replaced"
