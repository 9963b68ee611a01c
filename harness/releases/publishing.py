"""`medbench push`: gathers what may be published of a model, lists it, and uploads it only with `--execute`."""

from __future__ import annotations

import contextlib
import fnmatch
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness.console import Terminal
from harness.logs import log_to
from harness.releases.hub import check_repository, has_token, holds_token, send
from harness.releases.local_paths import shorten_paths
from harness.releases.push_source import Source, find_source
from reports.document.reading import read_results
from reports.document.schema import Results
from reports.document.verification import certificate_of
from reports.errors import UserError
from reports.files import PART, part_of, remove_parts_of, write_json, write_text
from reports.names import is_hub_id
from reports.page.render import render
from reports.readmes.model_card import PublishedCard, published_card
from training.exporting.export_log import EXPORT_FILE
from training.models.adapters import CONFIG, WEIGHTS

_CARD = "README.md"
_MODEL_FILES = (
    *(CONFIG, WEIGHTS, "config.json", "generation_config.json", "model*.safetensors", "model.safetensors.index.json"),
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.jinja"),
    *("recipe.yaml", "training_log.json", EXPORT_FILE, _CARD),
)
_TEXTS = (".json", ".jsonl", ".yaml", ".md", ".html", ".jinja", ".txt")
_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt")  # whose words may look like paths
_HEADER_BYTES = 1 << 20
_KILO = 1000


@dataclass
class Upload:
    """What a push sends, or would send.

    Attributes:
        repo: The repository on the hub.
        private: Whether it is to be private.
        files: Size in bytes by name.
        left_out: Why a file or folder does not go along, by name.
        changed: What is different in the upload from the files here.
        missing: What a reader of the repository would miss, or what would stop the upload.
        card: The card as uploaded, or None.
        address: Address of the commit; None if nothing was uploaded.
    """

    repo: str
    private: bool
    files: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    card: PublishedCard | None = None
    address: str | None = None


def push(
    source: str | Path,
    repo: str,
    *,
    execute: bool = False,
    public: bool = False,
    samples: bool = False,
    licence: str | None = None,
    quiet: bool = False,
) -> Upload:
    """Upload an adapter or an exported model, with card and results, to the hub; without `execute`, only show what.

    Args:
        source: A run folder, whose own adapter is taken, an adapter's folder, or one that `export` wrote.
        repo: Its repository on the hub, OWNER/NAME, which is created where it is not there.
        execute: Send it; else nothing leaves this machine.
        public: For everybody to see; else private.
        samples: Send the texts of questions and answers too.
        licence: For the card, as the hub names it, such as `apache-2.0`.
        quiet: Print nothing.

    Raises:
        UserError: There is nothing to push, a file may not be published, or the hub refuses it.
    """
    terminal, path = Terminal(quiet=quiet), Path(source).expanduser()
    log_to(None)
    check_repository(repo)
    origin = find_source(path)
    upload = Upload(repo, private=not public)
    temporary = Path(tempfile.gettempdir(), "medbench-push")
    with contextlib.suppress(OSError):  # of other users
        remove_parts_of([temporary])
    with tempfile.TemporaryDirectory(prefix=part_of(temporary), suffix=PART) as staged:
        folder = Path(staged)
        _gather(origin, folder, upload, samples=samples)
        results, candidate = _results(origin, folder, upload, samples=samples)
        _publish_card(origin, folder, upload, results, candidate, licence)
        _make_public(folder, _files(folder), origin, upload)
        if results is not None:
            _make_public(folder, [path.relative_to(folder).as_posix() for path in render(folder)], origin, upload)
        upload.files = {name: (folder / name).stat().st_size for name in _files(folder)}
        _note_missing(upload, results)
        _show(upload, terminal, execute=execute)
        if execute:
            message = f"Upload {path.resolve().name} with medbench"
            upload.address = send(folder, repo, private=not public, message=message)
            terminal.say(f"\nsent: {upload.address}")
    return upload


def _gather(origin: Source, folder: Path, upload: Upload, *, samples: bool) -> None:
    """Put what may be published into `folder`: texts as copies, the rest as links; the others are named."""
    for path in sorted(origin.model.iterdir()):
        if path.is_file() and any(fnmatch.fnmatch(path.name, pattern) for pattern in _MODEL_FILES):
            _stage(path, folder / path.name)
        else:
            upload.left_out[path.name] = "no part of the model"
    if origin.run is None:
        return
    answers = sorted(origin.run.path.glob("samples/*/*.jsonl"))
    if samples:
        for path in answers:
            _stage(path, folder / path.relative_to(origin.run.path))
    elif answers:
        upload.left_out["samples"] = "texts of questions and answers, also in report.html; --samples sends them"
    if origin.run.log.is_file():
        upload.left_out[origin.run.log.name] = "what libraries said on this machine"


def _stage(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in _TEXTS:
        shutil.copyfile(path, target)
    else:
        target.symlink_to(path.resolve())


def _results(origin: Source, folder: Path, upload: Upload, *, samples: bool) -> tuple[Results | None, str]:
    """(the run's results, the model's name in them) where they are of this very adapter; they are staged then."""
    if origin.run is None or not origin.run.results.is_file():
        return None, ""
    results = read_results(origin.run.path)
    name = next((info.name for info in results.models if (info.sha256, info.config_sha256) == origin.adapter), None)
    if name is None:
        upload.left_out[origin.run.results.name] = "scores of another adapter than this; `medbench score` makes its own"
        shutil.rmtree(folder / "samples", ignore_errors=True)
        return None, ""
    if not samples and results.overlap is not None:
        for match in results.overlap.matches:  # texts of items and of training rows
            match.item_text = match.row_text = ""
    write_json(folder / origin.run.results.name, results.model_dump(mode="json"))
    return results, name


def _publish_card(
    origin: Source, folder: Path, upload: Upload, results: Results | None, candidate: str, licence: str | None
) -> None:
    path = folder / _CARD
    if not path.is_file():
        return
    certificate = None
    if results is not None and origin.run is not None:
        certificate, _ = certificate_of(origin.run.path, results)
    upload.card = published_card(
        path.read_text(encoding="utf-8"),
        results=results,
        candidate=candidate,
        licence=licence,
        merged=(origin.model / EXPORT_FILE).is_file(),
        certificate=certificate if certificate is not None and certificate.reference.model == candidate else None,
    )
    write_text(path, upload.card.text)


def _make_public(folder: Path, names: Iterable[str], origin: Source, upload: Upload) -> None:
    """Shorten paths of this machine in staged texts; refuse what cannot be published.

    Raises:
        UserError: A file holds an access token, or a path where it cannot be shortened.
    """
    for name in names:
        path = folder / name
        with path.open("rb") as stream:
            content = stream.read() if path.suffix in _TEXTS else stream.read(_HEADER_BYTES)
        if holds_token(content):
            raise UserError("it holds an access token", where=name, fix="take it out, and revoke it on the hub")
        if path.suffix not in _TEXTS or path.name in _VOCABULARIES:
            here = next((own for own in _own_folders(origin) if own.encode() in content), None)
            if here is not None:
                raise UserError(
                    f"it names a folder of this machine: {here}", where=name, fix="save the file without it"
                )
            continue
        text, paths = shorten_paths(content.decode("utf-8", errors="replace"), path.suffix)
        if paths:
            write_text(path, text)
            upload.changed.append(f"{name}: {', '.join(paths)} shortened to the last part")


def _own_folders(origin: Source) -> list[str]:
    """Folders that only this machine has; a short one such as /root could be a word of a vocabulary."""
    folders = {Path.home(), Path.cwd(), origin.model.resolve(), *([origin.run.path.resolve()] if origin.run else [])}
    return [str(own) for own in folders if len(own.parts) > 2]  # noqa: PLR2004


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _note_missing(upload: Upload, results: Results | None) -> None:
    card = upload.card
    if not has_token():
        upload.missing.append("a token for the hub on this machine: `hf auth login`, or set HF_TOKEN")
    if card is None:
        upload.missing.append(f"a card ({_CARD})")
    elif not card.licence:
        upload.missing.append("a licence: --license, in keeping with the base's and the data's")
    if card is not None and not is_hub_id(card.base):
        upload.missing.append(f"a base model that the hub knows ({card.base or 'none'} is no hub id)")
    if "tokenizer_config.json" not in upload.files:
        upload.missing.append("the tokenizer")
    if results is None:
        upload.missing.append("results of this adapter: `medbench score`")


def _show(upload: Upload, terminal: Terminal, *, execute: bool) -> None:
    terminal.heading("Push" if execute else "Push (dry run: nothing is sent)")
    total = sum(upload.files.values())
    terminal.say(
        f"  to {upload.repo} on the hub, {'private' if upload.private else 'public'}: {len(upload.files)} files,"
        f" {_size(total)}"
    )
    terminal.table(("  file", "size"), [(f"  {name}", _size(size)) for name, size in upload.files.items()])
    if upload.card is not None:
        card = upload.card
        terminal.say(
            f"  card: base {card.base or 'none'}, licence {card.licence or 'none'}, data sets"
            f" {', '.join(card.datasets) or 'none'}, {card.benchmarks or 'no'} benchmark results"
        )
    for name, why in upload.left_out.items():
        terminal.say(f"  left out: {name} ({why})")
    for change in upload.changed:
        terminal.say(f"  changed: {change}")
    for missing in upload.missing:
        terminal.say(f"  missing: {missing}", style="yellow")
    if not execute:
        terminal.say("\nTo send it, add --execute.")


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < _KILO:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= _KILO
    return f"{size:.1f} GB"
