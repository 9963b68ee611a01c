"""The Unsloth backend's process in `benchmarks.gpu_training`: Unsloth itself chooses padding-free batches."""

from __future__ import annotations

import functools

from training.backends import sft, unsloth_worker  # these import nothing that Unsloth patches


def main() -> None:
    """Train the job in the folder of the first argument."""
    sft.make_trainer = functools.partial(sft.make_trainer, padding_free=None)  # where Unsloth's own default is None
    unsloth_worker.main()


if __name__ == "__main__":
    main()
