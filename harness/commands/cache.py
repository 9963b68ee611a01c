"""The commands around the answer store: `medbench cache info` and `medbench cache clear`."""

from __future__ import annotations

import time

import typer

from harness.console import Terminal

cache_app = typer.Typer(
    name="cache",
    help="Show or clear the stored answers that all runs share, so that no question is answered twice.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_MB = 1e6


@cache_app.command()
def info() -> None:
    """Say where the store is, how many answers it holds and how large it may become."""
    from harness.answers.stored_answers import LIMIT, opened_store

    terminal = Terminal()
    with opened_store(terminal) as store:
        if store is None:
            terminal.say(f"there is no answer store: {LIMIT} is 0, or medbench's folder cannot be written to")
            return
        usage = store.info()
        terminal.say(str(store.path))
        terminal.say(
            f"{usage.entries:,} entries, {usage.size / _MB:,.1f} MB of at most {usage.limit / _MB:,.0f} MB ({LIMIT})"
        )
        if usage.oldest_use is not None:
            terminal.say(f"longest unused since {time.strftime('%Y-%m-%d %H:%M', time.localtime(usage.oldest_use))}")
        if damaged := store.damaged_files():
            size = sum(path.stat().st_size for path in damaged) / _MB
            terminal.say(f"damaged files beside it: {len(damaged)}, {size:,.1f} MB, removed by `medbench cache clear`")


@cache_app.command()
def clear() -> None:
    """Remove all answers from the store; samples in run folders stay."""
    from harness.answers.stored_answers import opened_store

    terminal = Terminal()
    with opened_store(terminal) as store:
        entries = 0 if store is None else store.clear()
    terminal.say(f"{entries:,} entries removed")
