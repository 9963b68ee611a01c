"""The commands around giving a trained adapter to others: `medbench export`, `medbench verify`, `medbench push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from harness.commands.options import Limit, Settings, Tasks, split_names

# As in training.exporting.export_log and training.models.device, which `--help` must not wait for.
BaseWeights = Literal["as_trained", "full"]
MergedDType = Literal["bfloat16", "float16", "float32"]


def export(
    source: Annotated[str, typer.Argument(help="A run folder, or an adapter's folder or hub id.")],
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Instead of the recipe in the adapter's folder.")
    ] = None,
    settings: Settings = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The folder or .gguf file to write; RUN/merged or ADAPTER-merged if not given."),
    ] = None,
    base: Annotated[
        BaseWeights, typer.Option("--base", help="Merge into the base as training saw it, or into its own weights.")
    ] = "as_trained",
    dtype: Annotated[MergedDType, typer.Option("--dtype", help="Of the merged weights.")] = "bfloat16",
    max_shard_size: Annotated[str, typer.Option("--max-shard-size", help="Of one file of weights.")] = "5GB",
    gguf: Annotated[
        str | None,
        typer.Option("--gguf", help="Write a GGUF file of this type: f16, bf16, f32, q8_0, q4_0, q4_k_m, ..."),
    ] = None,
) -> None:
    """Merge an adapter into its base as a model folder or GGUF file, and compare it with the unmerged adapter."""
    import harness

    harness.export(
        source,
        out,
        recipe=recipe,
        settings=settings or (),
        base=base,
        dtype=dtype,
        max_shard_size=max_shard_size,
        gguf=gguf,
    )


def push(
    source: Annotated[Path, typer.Argument(help="A run folder, an adapter's folder, or one that export wrote.")],
    repo: Annotated[str, typer.Argument(help="Its repository on the hub: OWNER/NAME.")],
    execute: Annotated[bool, typer.Option("--execute", help="Send it; without, only say what would be sent.")] = False,  # noqa: FBT002
    public: Annotated[bool, typer.Option("--public", help="For everybody to see; private if not given.")] = False,  # noqa: FBT002
    samples: Annotated[bool, typer.Option("--samples", help="Send the texts of questions and answers too.")] = False,  # noqa: FBT002
    licence: Annotated[str | None, typer.Option("--license", help="For the card, such as apache-2.0.")] = None,
) -> None:
    """Upload an adapter or exported model, with its card, to the hub. Without --execute, only show what is sent."""
    import harness

    harness.push(source, repo, execute=execute, public=public, samples=samples, licence=licence)


def verify(  # noqa: PLR0913, PLR0917 - one for each flag
    run: Annotated[Path, typer.Argument(help="The run folder with the evaluated model.")],
    target: Annotated[
        str, typer.Argument(help="What is deployed: a folder, FILE.gguf, a hub id, or http://HOST/v1#MODEL.")
    ],
    model: Annotated[
        str,
        typer.Option("--model", metavar="NAME[=FOLDER]", help="The evaluated model of RUN; its adapter if not given."),
    ] = "adapter",
    others: Annotated[
        list[str] | None,
        typer.Option("--other", metavar="NAME=FOLDER", help="An adapter that may be deployed by mistake; repeatable."),
    ] = None,
    rounded_to: Annotated[
        str | None,
        typer.Option("--rounded-to", help="GGUF type that it is meant to have, such as q8_0, which explains a part."),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="A gate's policy, whose rule deployed_equals sets the margins.")
    ] = None,
    limit: Limit = None,
    tasks: Tasks = None,
    settings: Settings = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The folder to write; RUN/verify/TARGET if not given.")
    ] = None,
) -> None:
    """Certify that a deployed model is the evaluated one. Exit code 0 if so, 1 if not, 2 bad input, 3 inconclusive."""
    import harness
    from reports.document.verification import VERIFY_EXIT_CODES

    document = harness.verify(
        run,
        target,
        model=model,
        others=others or (),
        rounded_to=rounded_to,
        policy=policy,
        limit=limit,
        tasks=split_names(tasks),
        settings=settings or (),
        out=out,
    )
    if code := VERIFY_EXIT_CODES[document.outcome]:
        raise typer.Exit(code)
