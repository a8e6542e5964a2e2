"""The command ``install-routing``: copies this package's routing matrix to where Amplifier looks for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .. import files

if TYPE_CHECKING:
    from collections.abc import Callable

MATRIX_NAME = "openai-chatgpt"
Outcome = Literal["installed", "replaced", "unchanged", "kept"]


def packaged_matrix() -> bytes:
    """Return this version's matrix: inside an installed package, or next to it in a clone."""
    package = Path(__file__).parents[1]
    candidates = [folder / "routing" / f"{MATRIX_NAME}.yaml" for folder in (package, package.parent)]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"The routing matrix is missing from this installation: {candidates[0]}")
    return found.read_bytes()


def destination() -> Path:
    """Return the path where Amplifier looks for the matrix."""
    return Path.home() / ".amplifier" / "routing" / f"{MATRIX_NAME}.yaml"


def install(target: Path, may_replace: Callable[[Path], bool]) -> Outcome:
    """Write the matrix to ``target``; a different one there is replaced only if ``may_replace`` agrees."""
    content = packaged_matrix()
    present = target.read_bytes() if target.exists() else None
    if present == content:
        return "unchanged"
    if present is not None and not may_replace(target):
        return "kept"
    files.replace(target.resolve(), content, mode=0o644)
    return "installed" if present is None else "replaced"
