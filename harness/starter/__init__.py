"""`medbench init`: writes a starter recipe, gate policy and CI file, from the templates beside this file."""

from __future__ import annotations

import importlib.metadata
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from reports.errors import UserError
from reports.files import remove_parts_of, write_text

CI = Literal["github", "gitlab"]
_FILES = {Path("recipe.yaml"): "recipe.yaml", Path("gate.yaml"): "gate.yaml"}
_CI_FILES: dict[CI, tuple[Path, str]] = {
    "github": (Path(".github/workflows/medbench.yml"), "workflow.yml"),
    "gitlab": (Path(".gitlab-ci.yml"), "gitlab-ci.yml"),
}
_TEMPLATES = Path(__file__).resolve().parent
_ACTION = re.compile(r"[\w.-]+/[\w./-]+@[\w./-]+")
_REMOTE = re.compile(r"^\s*url\s*=\s*(?:\w+://)?(?:[\w.-]+@)?github\.com[:/]", re.MULTILINE)
_MOST_BYTES = 1_000_000  # of a git configuration
_GITHUB = re.compile(r"(?:https|ssh)://(?:git@)?github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")


@dataclass(frozen=True)
class Answers:
    """What the templates need to know.

    Attributes:
        base: The base model: a folder or a hub id.
        train: Rows to train on.
        test: Held-out rows to score on.
        ci: Whose CI file to write.
        action: medbench's action, as a GitHub workflow's `uses:` wants it; unused for GitLab.
    """

    base: str
    train: str
    test: str
    ci: CI
    action: str = ""

    @property
    def files(self) -> dict[Path, str]:
        """The template of each file, by its path in the repository."""
        path, template = _CI_FILES[self.ci]
        return {**_FILES, path: template}


def uses_github(folder: Path) -> bool:
    """Whether a repository is on GitHub, by its remotes or its `.github` folder."""
    if (folder / ".github").is_dir():
        return True
    config = folder / ".git" / "config"
    try:
        is_readable = config.is_file() and config.stat().st_size <= _MOST_BYTES
        return is_readable and _REMOTE.search(config.read_text(encoding="utf-8", errors="replace")) is not None
    except OSError:
        return False


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
    if answers.ci == "github" and not _ACTION.fullmatch(answers.action):
        raise UserError(
            f"{answers.action!r} does not say where GitHub finds medbench's action",
            where="--action",
            fix="write --action OWNER/REPO@REF, medbench's repository and a tag or commit, or --ci gitlab",
        )
    there = [str(folder / path) for path in answers.files if (folder / path).exists()]
    if there and not force:
        raise UserError(
            f"there already: {', '.join(there)}", where="medbench init", fix="move them away, or overwrite with --force"
        )
    remove_parts_of(folder / path for path in answers.files)
    for path, template in answers.files.items():
        text = (_TEMPLATES / template).read_text(encoding="utf-8")
        for name, value in asdict(answers).items():
            written = value if name == "action" else json.dumps(value, ensure_ascii=False)
            text = text.replace(f"<{name}>", written)
        write_text(folder / path, text)
