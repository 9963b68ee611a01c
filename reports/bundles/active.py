"""The bundle that a run reads instead of the hub: `--from-bundle`, or the environment variable MEDBENCH_BUNDLE."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reports.bundles.integrity import check_piece, check_root
from reports.bundles.manifest import MANIFEST, Manifest, PieceKind, read_manifest
from reports.errors import UnreachableError, UserError

BUNDLE = "MEDBENCH_BUNDLE"
_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
_OFFLINE_MODULES = ("huggingface_hub.constants", "datasets.config")  # read the variables only when imported


@dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    Attributes:
        path: Its folder.
        manifest: Its manifest.
    """

    path: Path
    manifest: Manifest

    def folder(self, kind: PieceKind, piece_id: str, revision: str | None = None) -> Path:
        """The folder of a data set or model, with its hashes checked.

        Raises:
            UnreachableError: The bundle does not hold it.
            UserError: It holds another revision, or files were changed.
        """
        piece = self.manifest.piece(kind, piece_id)
        where = f"bundle {self.path}"
        if piece is None:
            fix = (
                f"add it on a connected machine with `medbench bundle --out {self.path.name}` and the flags of this run"
            )
            raise UnreachableError(f"the {kind} {piece_id} is not in the bundle", where=where, fix=fix)
        if not piece.is_at(revision):
            what = f"it holds the {kind} {piece_id} at {piece.commit or 'no commit'}, and {revision} is needed"
            fix = "make another bundle with this medbench and recipe: medbench bundle --out ANOTHER"
            raise UserError(what, where=where, fix=fix)
        return check_piece(self.path, piece)


def active_bundle() -> Bundle | None:
    """The bundle that is in use, or None.

    Raises:
        UserError: There is no bundle at that place, or its manifest is broken, too new or too old.
    """
    given = os.environ.get(BUNDLE)
    if not given:
        return None
    path = Path(given).expanduser().resolve()
    manifest = path / MANIFEST
    if not manifest.is_file():
        fix = f"give the folder that `medbench bundle` wrote; {BUNDLE} is read if --from-bundle is not given"
        raise UserError(f"it is no bundle: there is no {MANIFEST} in it", where=f"--from-bundle {given}", fix=fix)
    return _opened(path, manifest.stat().st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _opened(path: Path, changed: int) -> Bundle:  # noqa: ARG001 - another time is another manifest
    return Bundle(path, read_manifest(path))


def bundled_folder(kind: PieceKind, piece_id: str, revision: str | None = None) -> Path | None:
    """The folder of a data set or model in the bundle that is in use; None if none is.

    Raises:
        UserError: The bundle lacks it, or was changed.
    """
    bundle = active_bundle()
    return None if bundle is None else bundle.folder(kind, piece_id, revision)


@contextlib.contextmanager
def using_bundle(path: str | Path | None) -> Iterator[Bundle | None]:
    """Read from a bundle meanwhile, and let no library ask the hub; without a path, from MEDBENCH_BUNDLE if it is set.

    Raises:
        UserError: It is no bundle that this medbench reads.
    """
    with contextlib.ExitStack() as stack:
        if path is not None:
            stack.enter_context(_environment({BUNDLE: str(Path(path).expanduser().resolve())}))
        bundle = active_bundle()
        if bundle is not None:
            check_root(bundle.path, bundle.manifest)
            stack.enter_context(_offline())
        yield bundle


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Set the libraries' offline modes, also for processes that are started meanwhile."""
    with _environment(dict.fromkeys(_OFFLINE, "1")):
        modules = [sys.modules[name] for name in _OFFLINE_MODULES if name in sys.modules]
        before = [module.__dict__["HF_HUB_OFFLINE"] for module in modules]
        for module in modules:
            module.__dict__["HF_HUB_OFFLINE"] = True
        try:
            yield
        finally:
            for module, value in zip(modules, before, strict=True):
                module.__dict__["HF_HUB_OFFLINE"] = value
