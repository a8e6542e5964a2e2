"""A renewal in a process of its own, which goes on when the one that asked for it is interrupted or killed.

The order goes to the process through a pipe, and so does the outcome (``..detached``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic_core import from_json, to_json

from ...secret import Secret
from ...services import CHATGPT_PLAN_SIGN_IN
from ..detached import error_on_wire, in_new_process, json_object, read_error, serve
from ..single_flight import InThread
from ..waiting import ANNOUNCE_AFTER, announced, silent_issuer
from .credential import PlanCredential
from .file import PlanFile
from .renewal import Failed, Order, PlanRenewal, Renewed, Unsaved

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ...services import PlanSignIn
    from .renewal import Outcome, Renewer


class Detached:
    """Renews what is in a credential file. Where no process can be started, ``otherwise`` renews."""

    def __init__(
        self,
        file: PlanFile,
        service: PlanSignIn,
        otherwise: Renewer | None = None,
        ask: Callable[[bytes], bytes] | None = None,
        announce_after: float = ANNOUNCE_AFTER,
    ) -> None:
        """``ask`` has an order carried out, as ``answer`` does; by default a new process does.

        A wait of more than ``announce_after`` seconds is announced.
        """
        self._announce_after = announce_after
        self._path, self._service = file.path, service
        self._otherwise = otherwise or InThread(PlanRenewal(file, service))
        self._ask = ask or (lambda order: in_new_process(order, __name__))

    def __call__(self, order: Order) -> Outcome:
        """Renew, and wait for the outcome."""
        try:
            content = Secret(_to_wire(self._path, self._service, order))
        except ValueError:  # next to a key of another program that JSON cannot hold
            return self._otherwise(order)
        host = urlsplit(self._service.url).hostname or ""
        with announced(silent_issuer(host), self._announce_after):
            found = json_object(self._ask(content.reveal()))
        # Whatever the process did: the lock and another look at the file precede any request.
        return self._otherwise(order) if found is None else _read_outcome(found)


def answer(content: bytes) -> bytes:
    """Carry out an order in this process; returns what its giver understands."""
    found = from_json(content)
    service = CHATGPT_PLAN_SIGN_IN.at(found["base_url"], found["auth_url"])
    file = PlanFile(Path(found["path"]), service.origin)
    refused = tuple(map(Secret, found["refused"]))
    outcome = PlanRenewal(file, service)(Order(refused, _read_unsaved(found["unsaved"]), found["asked"]))
    return to_json({**_outcome(outcome), "unsaved": _unsaved(outcome.unsaved)})


def _to_wire(path: Path, service: PlanSignIn, order: Order) -> bytes:
    return to_json(
        {
            "path": str(path),
            "base_url": service.base_url,
            "auth_url": service.url,
            "refused": [token.reveal() for token in order.refused],
            "unsaved": _unsaved(order.unsaved),
            "asked": order.asked,
        }
    )


def _outcome(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Renewed):
        return {"credential": outcome.credential.to_dict()}
    return {**error_on_wire(outcome.error), "is_passing": outcome.is_passing}


def _read_outcome(found: Mapping[str, Any]) -> Outcome:
    unsaved = _read_unsaved(found["unsaved"])
    if "credential" in found:
        return Renewed(PlanCredential.from_dict(found["credential"]), unsaved)
    return Failed(read_error(found), found["is_passing"], unsaved)


def _unsaved(unsaved: Unsaved | None) -> dict[str, Any] | None:
    if unsaved is None:
        return None
    return {"spent": unsaved.spent.reveal(), "credential": unsaved.credential.to_dict()}


def _read_unsaved(found: Mapping[str, Any] | None) -> Unsaved | None:
    return Unsaved(Secret(found["spent"]), PlanCredential.from_dict(found["credential"])) if found else None


def main() -> None:
    """Carry out the order on stdin, and end."""
    serve(answer)
