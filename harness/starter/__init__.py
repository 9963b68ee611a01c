"""`medbench init`: writes a starter recipe, gate policy and workflow, from the templates beside this file."""

from __future__ import annotations

import importlib.metadata
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from reports.errors import UserError
from reports.files import remove_parts_of, write_text

FILES = {
    Path("recipe.yaml"): "recipe.yaml",
    Path("gate.yaml"): "gate.yaml",
    Path(".github/workflows/medbench.yml"): "workflow.yml",
}
_TEMPLATES = Path(__file__).resolve().parent
_ACTION = re.compile(r"[\w.-]+/[\w./-]+@[\w./-]+")
_GITHUB = re.compile(r"(?:https|ssh)://(?:git@)?github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")


@dataclass(frozen=True)
class Answers:
    """What the templates need to know.

    Attributes:
        base: The base model: a folder or a hub id.
        train: Rows to train on.
        test: Held-out rows to score on.
        action: medbench's action, as a workflow's `uses:` wants it.
    """

    base: str
    train: str
    test: str
    action: str


def known_action() -> str | None:
    """The action of the repository and commit that medbench was installed from; None if it is unknown."""
    try:
        text = importlib.metadata.distribution("medbench").read_text("direct_url.json")  # PEP 610
    except importlib.metadata.PackageNotFoundError:
        return None
    origin = json.loads(text or "{}")
    match = _GITHUB.fullmatch(str(origin.get("url", "")))
    commit = origin.get("vcs_info", {}).get("commit_id")
    return f"{match[1]}@{commit}" if match and commit else None


def write_starter(folder: Path, answers: Answers, *, force: bool) -> None:
    """Write all files, or none.

    Raises:
        UserError: A file is there already, or the action's repository is unknown.
    """
    if not _ACTION.fullmatch(answers.action):
        raise UserError(
            f"{answers.action!r} does not say where GitHub finds medbench's action",
            where="--action",
            fix="write --action OWNER/REPO@REF: the repository that holds medbench, and a tag or commit",
        )
    there = [str(folder / path) for path in FILES if (folder / path).exists()]
    if there and not force:
        raise UserError(
            f"there already: {', '.join(there)}", where="medbench init", fix="move them away, or overwrite with --force"
        )
    remove_parts_of(folder / path for path in FILES)
    for path, template in FILES.items():
        text = (_TEMPLATES / template).read_text(encoding="utf-8")
        for name, value in asdict(answers).items():
            written = value if name == "action" else json.dumps(value, ensure_ascii=False)
            text = text.replace(f"<{name}>", written)
        write_text(folder / path, text)
