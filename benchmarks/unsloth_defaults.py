"""The Unsloth backend's process in `benchmarks.gpu_training`: Unsloth itself chooses padding-free batches."""

from __future__ import annotations

import functools


def main() -> None:
    """Train the job in the folder of the first argument."""
    import unsloth  # noqa: F401 - before all that it patches

    from training.backends import sft, unsloth_worker

    sft.make_trainer = functools.partial(sft.make_trainer, padding_free=None)  # where Unsloth's own default is None
    unsloth_worker.main()


if __name__ == "__main__":
    main()
