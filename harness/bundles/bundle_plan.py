"""The plan of a bundle: for every data set and model, what is there and what will be fetched, with size and licence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.bundles.fetching import QUICKSTART_LICENCE, to_fetch
from harness.bundles.hub_files import HubFiles, hub_files
from harness.console import Terminal
from harness.planning.needs import Need, Needs
from reports.bundles.integrity import missing_files
from reports.bundles.manifest import Manifest, Pending, Piece, piece_folder
from reports.errors import UserError
from reports.numbers import file_size
from training.models.quickstart_model import HUB_ID, NEEDED_BYTES
from training.recipes.recipe import QUICKSTART_MODEL


@dataclass(frozen=True)
class PlannedPiece:
    """A data set or model.

    Attributes:
        need: What it is needed for.
        piece: What the bundle holds of it already, or None.
        repository: What the hub holds of it; None if nothing has to be fetched from the hub.
        size: Bytes to fetch.
    """

    need: Need
    piece: Piece | None
    repository: HubFiles | None
    size: int

    @property
    def is_quickstart(self) -> bool:
        """Whether it is the built-in model, which is fetched with pip."""
        return self.need.id == QUICKSTART_MODEL

    @property
    def is_complete(self) -> bool:
        """Whether the bundle holds all of it."""
        return self.piece is not None and self.repository is None and self.size == 0

    @property
    def licence(self) -> str:
        """Its licence, as far as it is stated."""
        if self.repository is not None:
            return self.repository.licence
        return QUICKSTART_LICENCE if self.piece is None else self.piece.licence

    @property
    def pending(self) -> Pending:
        """The piece as the manifest lists it until it is complete."""
        return Pending(kind=self.need.kind, id=self.need.id, size=self.size, licence=self.licence)


def plan_pieces(bundle: Path, needs: Needs, manifest: Manifest) -> list[PlannedPiece]:
    """Find out what has to be fetched; the hub is asked only about what the bundle does not hold.

    Raises:
        UserError: A task brings its data in another way, another revision is there, or as `hub_files`.
    """
    if needs.unknown:
        raise UserError(
            f"their own code or addresses bring their data, so a bundle cannot hold it: {', '.join(needs.unknown)}",
            where="--tasks",
            fix="leave them out",
        )
    return [_planned(bundle, need, manifest.piece(need.kind, need.id)) for need in needs.pieces]


def _planned(bundle: Path, need: Need, piece: Piece | None) -> PlannedPiece:
    if piece is not None and not piece.is_at(need.revision):
        what = f"the bundle holds {need.id} at {piece.commit}, and {', '.join(need.wanted_by)} needs {need.revision}"
        raise UserError(what, where=f"bundle {bundle}", fix="make another bundle: --out ANOTHER")
    missing = [] if piece is None else missing_files(piece_folder(bundle, piece.kind, piece.id), piece)
    if piece is not None and not missing and piece.holds(need.configs):
        return PlannedPiece(need, piece, None, 0)
    if need.id == QUICKSTART_MODEL:
        return PlannedPiece(need, piece, None, NEEDED_BYTES)
    repository = hub_files(_with_old_configs(need, piece), None if piece is None else piece.commit)
    return PlannedPiece(need, piece, repository, sum(to_fetch(bundle, repository, piece).values()))


def _with_old_configs(need: Need, piece: Piece | None) -> Need:
    """The need with the configurations that the bundle holds already, whose files may have to be fetched again."""
    if piece is None or need.kind == "model":
        return need
    return need.with_configs(None if piece.configs is None else frozenset(piece.configs))


def show_plan(pieces: Sequence[PlannedPiece], needs: Needs, terminal: Terminal) -> None:
    """Print what will be fetched, what is there, and what the user has to take along."""
    rows = []
    for one in pieces:
        place = HUB_ID if one.is_quickstart else one.need.id
        state = "in the bundle" if one.is_complete else file_size(one.size)
        gated = one.repository.gated if one.repository else bool(one.piece and one.piece.gated)
        rows.append((one.need.kind, place, one.licence, "gated" if gated else "", state))
    terminal.table(("what", "id", "licence", "access", "to fetch"), rows, left=True)
    total = sum(one.size for one in pieces)
    terminal.say(f"to fetch: {file_size(total)}")
    for one in pieces:
        if one.repository is not None and one.repository.gated:
            terminal.say(f"note: {one.need} is gated; its licence: {one.licence}", style="yellow")
        if one.repository is not None and one.repository.is_non_commercial:
            terminal.say(f"note: {one.need}: {one.licence} forbids commercial use", style="yellow")
        if one.repository is not None and one.repository.left_out:
            terminal.say(f"  {one.need.id}: left out as code, pickles or hidden: {', '.join(one.repository.left_out)}")
    for line in needs.local:
        terminal.say(f"not in the bundle, take it along: {line}")


def check_licences(pieces: Sequence[PlannedPiece]) -> None:
    """Check that what forbids commercial use was named, and does not just come with a suite or group.

    Raises:
        UserError: Something was not.
    """
    implied = [
        one
        for one in pieces
        if one.repository is not None and one.repository.is_non_commercial and not one.need.is_named
    ]
    if implied:
        tasks = [name.removeprefix("task ") for one in implied for name in one.need.wanted_by]
        lines = "; ".join(f"{one.need.id} ({one.repository.card_licence or one.licence})" for one in implied)  # type: ignore[union-attr]
        raise UserError(
            f"a licence forbids commercial use: {lines}",
            where="--tasks",
            fix=f"if you may use it, name the tasks themselves: --tasks {','.join(tasks)}; else leave their suite out",
        )
