"""A model: the base of a recipe, an adapter on it, another model with all its weights, or one behind a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from training.recipes.recipe import QuantizationSection
    from training.splits import TrainingRows

BASE = "base"  # name of a recipe's base
OWN_ADAPTER = "adapter"  # name of the adapter that the recipe trains
DEFAULT_MODELS = f"{BASE},{OWN_ADAPTER}"
Kind = Literal["base", "adapter", "full", "gguf", "served"]


@dataclass(frozen=True)
class Model:
    """A model on disk, or behind a server.

    Attributes:
        name: Name in `--models`, in results and in the run folder.
        kind: `base` is the recipe's base, `adapter` a LoRA on it, `full` another model with all its weights, `gguf` one
            whose weights come from a GGUF file, `served` one that a server answers for.
        source: Hub id, built-in name or the folder's name without the folders above it; how an untrained adapter will
            be trained.
        folder: Folder of its files; for a served model its base's, for a GGUF file that of the dequantised weights.
        sha256: Hash of its weights; empty for an adapter that is not trained yet; for a served model a hash of its
            address and name.
        config_sha256: Hash of the configuration that its weights are used with; empty for an adapter that is not
            trained yet, and in plans.
        tokenizer: Folder of its tokenizer and chat template; for an adapter and a served model the base's.
        public_name: Name that other people know it by: the hub id if it has one, else `source`.
        base_name: Base that an adapter's configuration names; empty if it names none.
        quantization: How its weights are quantised while it is scored; None for the weights as they are on disk.
        rows: Its training data; None if unknown.
        unknown_rows: Why its training data is unknown although it was fine-tuned; empty if it is known, and for a base
            without a record.
        has_declared_rows: Whether its training data is only what the recipe declares (`trained_on`).
        trained_here: Whether the recipe of the run trains it; also for checkpoints of that training.
        step: Step of that training, or of that of its `seed`, whose weights it has; None for models from elsewhere.
        seed: Seed of the training that it belongs to, with `--seeds`; else None.
        unrecorded_base: Hash of the weights that its export merged an adapter into, if no record says what these were
            trained on; else empty.
        file: The GGUF file that its weights come from; None for other kinds.
        file_sha256: Hash of that file.
        url: Address of the server's API, such as `http://localhost:8000/v1`; empty if it is not served.
        served_name: Name that the server gives it.
    """

    name: str
    kind: Kind
    source: str
    folder: Path
    sha256: str
    tokenizer: Path
    public_name: str
    base_name: str = ""
    config_sha256: str = ""
    quantization: QuantizationSection | None = field(default=None, compare=False)
    rows: TrainingRows | None = field(default=None, compare=False, repr=False)
    unknown_rows: str = field(default="", compare=False)
    has_declared_rows: bool = False
    trained_here: bool = False
    step: int | None = None
    seed: int | None = None
    unrecorded_base: str = field(default="", compare=False)
    file: Path | None = None
    file_sha256: str = ""
    url: str = ""
    served_name: str = ""

    @property
    def is_base(self) -> bool:
        """Whether it is the recipe's base."""
        return self.kind == "base"

    @property
    def is_fine_tuned(self) -> bool:
        """Whether training data of it is recorded or declared, or a record of it cannot be used."""
        return self.rows is not None or bool(self.unknown_rows)

    @property
    def is_adapter(self) -> bool:
        """Whether it changes the base instead of having all weights itself."""
        return self.kind == "adapter"

    @property
    def has_own_weights(self) -> bool:
        """Whether it is a whole model on this machine beside the recipe's base."""
        return self.kind in ("full", "gguf")

    @property
    def is_served(self) -> bool:
        """Whether a server answers for it."""
        return self.kind == "served"


def base_model(
    folder: Path, source: str, sha256: str, public_name: str | None = None, config_sha256: str = ""
) -> Model:
    """The base of a recipe.

    Args:
        folder: Folder of its files.
        source: Its name in the recipe.
        sha256: Hash of its weights.
        public_name: `source` if None.
        config_sha256: Hash of its configuration.
    """
    return Model(
        BASE,
        "base",
        source,
        folder,
        sha256,
        tokenizer=folder,
        public_name=public_name or source,
        config_sha256=config_sha256,
    )
