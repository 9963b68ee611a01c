"""`medbench view`: a local page of all runs below a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.console import Terminal


def view(
    folder: Annotated[Path, typer.Argument(help="The folder that the runs are in.")] = Path("runs"),
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="The port; a free one if not given.")
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Only print the address; open no browser.")] = False,  # noqa: FBT002
) -> None:
    """Show all runs below a folder on a local page, with filters, a metric over time, and links to the reports."""
    from harness.viewing.server import serve

    serve(folder, port=port, open_browser=not no_open, terminal=Terminal())
