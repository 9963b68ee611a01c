"""The manifest of a bundle: what was asked for, and revision, licence, size and SHA-256 of every file in it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeInt

from reports.document.reading import read_document
from reports.files import write_json
from reports.names import is_hub_id, is_plain_name
from reports.strict import Strict

MANIFEST = "manifest.json"
SCHEMA_VERSION = "1.0"
NOT_STATED = "not stated"
PieceKind = Literal["data set", "model"]
_FOLDERS: dict[PieceKind, str] = {"data set": "datasets", "model": "models"}
_CODE = (".py", ".pyc", ".so", ".dll", ".sh")
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".npy", ".npz", ".joblib", ".dill", ".h5", ".msgpack")


def is_harmless(path: str) -> bool:
    """Whether a file of a repository may be in a bundle: its name hides nothing, and it is neither code nor pickled."""
    parts = PurePosixPath(path).parts
    return bool(parts) and all(map(is_plain_name, parts)) and not path.lower().endswith((*_CODE, *_PICKLED))


def _checked_id(text: str) -> str:
    if not is_hub_id(text) and not (is_plain_name(text) and "--" not in text):
        raise ValueError("is no id of a data set or model")
    return text


def _checked_path(text: str) -> str:
    if not is_harmless(text) or str(PurePosixPath(text)) != text:
        raise ValueError("is no path of a file that a bundle may hold")
    return text


FilePath = Annotated[str, AfterValidator(_checked_path)]
PieceId = Annotated[str, AfterValidator(_checked_id)]


class FileRecord(Strict):
    """One file.

    Attributes:
        size: Bytes.
        sha256: Hex SHA-256 of its contents.
    """

    size: NonNegativeInt
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Piece(Strict):
    """A data set or model in the bundle.

    Attributes:
        kind: What it is.
        id: Its id on the hub, or the name of the built-in model.
        commit: The commit that was fetched; empty for the built-in model.
        revision: The branch, tag or commit that was asked for, if any.
        licence: From the catalogue of benchmarks, else from its card, else `not stated`.
        card_licence: What its card says; empty if nothing.
        gated: Whether its owner gives access only to those who ask.
        configs: Configurations of the data set whose files are there, "" being the default one; None for all files.
        files: Files by their paths below the piece's folder.
        left_out: Files of the repository that a bundle does not hold: code, pickles, hidden files.
    """

    kind: PieceKind
    id: PieceId
    commit: str = ""
    revision: str | None = None
    licence: str = NOT_STATED
    card_licence: str = ""
    gated: bool = False
    configs: list[str] | None = None
    files: dict[FilePath, FileRecord]
    left_out: list[str] = Field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files.values())

    def holds(self, configs: frozenset[str] | None) -> bool:
        """Whether the files of all these configurations are there, "" being the default one; None is all files."""
        return self.configs is None or (configs is not None and configs <= {*self.configs})

    def is_at(self, revision: str | None) -> bool:
        """Whether a branch, tag or commit is what was fetched; None is any."""
        return revision is None or revision in (self.commit, self.revision)


class Pending(Strict):
    """A piece that was planned and is not complete."""

    kind: PieceKind
    id: PieceId
    size: NonNegativeInt
    licence: str


class BundleRequest(Strict):
    """What was asked for, as on the command line."""

    recipe: str
    models: str
    tasks: list[str]
    settings: list[str] = Field(default_factory=list)


class Manifest(Strict):
    """The manifest.

    Attributes:
        schema_version: Version of this schema.
        medbench: Version of medbench that wrote it.
        created: Date and time (UTC, ISO 8601) of the first request.
        python: Version of Python in `requirements.txt`.
        platform: Platform of `requirements.txt`.
        requests: What was asked for, one entry for each different request.
        pieces: Data sets and models.
        pending: Pieces that were planned and not fetched, since the command was interrupted.
        files: Files beside the pieces, such as `requirements.txt`.
    """

    schema_version: str = SCHEMA_VERSION
    medbench: str
    created: str
    python: str
    platform: str
    requests: list[BundleRequest] = Field(default_factory=list)
    pieces: list[Piece] = Field(default_factory=list)
    pending: list[Pending] = Field(default_factory=list)
    files: dict[FilePath, FileRecord] = Field(default_factory=dict)

    def piece(self, kind: PieceKind, piece_id: str) -> Piece | None:
        """The data set or model of an id, or None."""
        return next((piece for piece in self.pieces if (piece.kind, piece.id) == (kind, piece_id)), None)


def piece_folder(bundle: Path, kind: PieceKind, piece_id: str) -> Path:
    """Folder of a data set or model in a bundle."""
    return bundle / _FOLDERS[kind] / piece_id.replace("/", "--")


def read_manifest(bundle: Path) -> Manifest:
    """Read the manifest of a bundle.

    Raises:
        UserError: It is missing, broken or of another schema version.
    """
    return read_document(
        bundle / MANIFEST,
        Manifest,
        SCHEMA_VERSION,
        what="the manifest of a bundle",
        later="use the medbench version that made the bundle, or make it again with this one: medbench bundle",
        broken="copy the bundle again, or make it again on a connected machine: medbench bundle",
    )


def write_manifest(bundle: Path, manifest: Manifest) -> None:
    """Write the manifest of a bundle.

    Raises:
        MachineError: The folder cannot be written to, or the disk is full.
    """
    write_json(bundle / MANIFEST, manifest.model_dump(mode="json"))
