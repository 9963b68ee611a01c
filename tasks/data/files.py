"""Finds the data files that a source names (a file, a folder, a glob or a list of them), always in the same order."""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from reports.errors import UserError
from reports.files import check_regular

_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
KINDS = {
    ".json": "JSON",
    ".jsonl": "JSON Lines",
    ".ndjson": "JSON Lines",
    ".csv": "CSV",
    ".tsv": "TSV",
    ".parquet": "Parquet",
    ".arrow": "Arrow",
}
_COMPRESSED_INSIDE = ("Parquet", "Arrow")
FILE_SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".arrow")
DATASET_FILES = ("state.json", "dataset_dict.json")  # that `save_to_disk` of the datasets library writes
_NOT_ROWS = {*DATASET_FILES, "dataset_info.json", "dataset_infos.json", "config.json", "test_ground_truth.json"}
_MOST_ENTRIES = 100_000  # of a folder: more are a home folder or a disk, given by mistake
_NAMED = 5  # files in a message
_FRONT_MATTER = 1 << 16  # bytes of a README.md that may name configurations
_SPLITS = {
    name: split
    for split, names in {
        "train": ("train", "training"),
        "validation": ("validation", "valid", "val", "dev"),
        "test": ("test", "testing", "eval", "evaluation"),
    }.items()
    for name in names
}
_SPLIT_WORD = re.compile(rf"(?<![a-z])({'|'.join(_SPLITS)})(?![a-z])")  # as in train-00000-of-00003
_SHARD = re.compile(r"(.*)\d{5}-of-(\d{5})(?!\d)")
_OTHER_KINDS = {
    (".xlsx", ".xls", ".ods"): "save the sheet as `CSV UTF-8`",
    _COMPRESSED: "decompress it",
    (".zip", ".tar", ".tgz", ".7z", ".rar"): "unpack it and name the folder",
    (
        ".pkl",
        ".pickle",
        ".pt",
        ".npy",
        ".npz",
    ): "pickled files can run code: write it as Parquet with pandas' to_parquet",
}


def kind_of(path: Path) -> str | None:
    """Kind of a data file by its suffix in any case, compressed or not; None for other files."""
    name = Path(path.name.lower())
    if name.suffix not in _COMPRESSED:
        return KINDS.get(name.suffix)
    kind = KINDS.get(Path(name.stem).suffix)
    return None if kind in _COMPRESSED_INSIDE else kind


def check_kind(path: Path) -> str:
    """Kind of a data file by its suffix.

    Raises:
        UserError: It has another suffix.
    """
    kind = kind_of(path)
    if kind is None:
        suffix = path.suffix.lower()
        others = (fix for suffixes, fix in _OTHER_KINDS.items() if suffix in suffixes)
        raise UserError(
            f"cannot tell what kind of file this is from {path.suffix or 'its name'!r}",
            where=str(path),
            fix=next(others, f"use one of {', '.join(FILE_SUFFIXES)}, also compressed (.gz)"),
        )
    return kind


def split_of(path: Path) -> str | None:
    """The split in the name of a file or of its folders, such as `train` in `data/train-00000-of-00003.parquet`."""
    words = (_SPLIT_WORD.search(part.lower()) for part in reversed(path.parts))
    return next((_SPLITS[word[1]] for word in words if word), None)


def same_split(first: str | None, second: str | None) -> bool:
    """Whether two names mean the same split, such as `val` and `validation`."""
    if first is None or second is None:
        return False
    return _SPLITS.get(first.lower(), first) == _SPLITS.get(second.lower(), second)


def check_split(split: str | None, file: str) -> None:
    """Check a setting of `split` for a file whose rows are not divided; they are called `train`, as by `datasets`.

    Raises:
        UserError: It is another split, which the name of the file does not have.
    """
    if split is not None and not same_split(split, "train") and not same_split(split, split_of(Path(file))):
        raise UserError(f"it has no split {split}: all its rows are read", where=file, fix="leave split out")


def is_split_name(name: str) -> bool:
    """Whether a name is that of a split, such as `train`."""
    return name.lower() in _SPLITS


def is_dataset_folder(folder: Path) -> bool:
    """Whether `datasets` reads the folder: it is from `save_to_disk`, or its README.md names configurations."""
    if any((folder / name).is_file() for name in DATASET_FILES):
        return True
    readme = folder / "README.md"
    if not readme.is_file():
        return False
    with readme.open("rb") as file:
        front = re.match(rb"---\r?\n(.*?)\n---", file.read(_FRONT_MATTER), re.DOTALL)
    return front is not None and re.search(rb"^configs:", front[1], re.MULTILINE) is not None


def find_files(source: str | Sequence[str], split: str | None) -> tuple[Path, ...]:
    """The data files of a source in sorted order; empty if it names none.

    Args:
        source: A file, a folder, a glob, or a list of them. A folder of `save_to_disk` is all its files.
        split: Take only files of this split from a folder or glob whose file names have splits.

    Raises:
        UserError: A folder or glob has no data files, files of several kinds or of several splits; or a file of a list
            does not exist.
    """
    if not isinstance(source, str):
        listed: set[Path] = set()
        for text in source:
            path = Path(text).expanduser()
            files = (path,) if path.is_file() else find_files(text, split)
            if not files or is_dataset_folder(path):
                problem = "a folder that is read as a whole" if files else "there is no such data file"
                raise UserError(problem, where=f"{text}, in a list", fix="list files, folders and globs of data files")
            listed.update(files)
        return tuple(sorted(listed))
    path = Path(source).expanduser()
    if path.is_dir():
        return _in_folder(path, source, split)
    if path.exists():
        check_regular(path)
        _check_shards([path], source)
        return (path,)
    if not glob.has_magic(source):
        return ()
    paths = [Path(name) for name in glob.iglob(str(path), recursive=True)]  # noqa: PTH207 - a whole path
    matches = [match for match in paths if match.is_file()]
    if not matches:
        raise UserError("no file matches", where=source, fix="check the path")
    return _like_files(matches, source, split)


def _in_folder(folder: Path, source: str, split: str | None) -> tuple[Path, ...]:
    entries = list(itertools.islice(folder.rglob("*"), _MOST_ENTRIES + 1))
    if len(entries) > _MOST_ENTRIES:
        raise UserError(f"the folder has more than {_MOST_ENTRIES:,} files", where=source, fix="name the data files")
    files = [path for path in entries if path.is_file()]
    if is_dataset_folder(folder):
        return tuple(sorted(files))
    data = [
        file
        for file in files
        if kind_of(file)
        and file.name not in _NOT_ROWS
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]
    if not data:
        raise UserError(
            f"the folder has no data files; it has {_some([file.name for file in files])}",
            where=source,
            fix=f"name a folder or file with rows ({', '.join(FILE_SUFFIXES)})",
        )
    return _like_files(data, source, split)


def _like_files(files: Sequence[Path], source: str, split: str | None) -> tuple[Path, ...]:
    """The files if they are of one kind and one split."""
    kinds = Counter(kind_of(file) or file.suffix or "no suffix" for file in files)
    if len(kinds) > 1:
        counted = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        raise UserError(
            f"it has files of several kinds: {counted}",
            where=source,
            fix=f"name one kind with a glob, such as {_glob_of(files)}",
        )
    folder = os.path.commonpath([file.parent for file in files])
    groups = defaultdict(list)
    for file in files:
        groups[split_of(Path(os.path.relpath(file, folder)))].append(file)
    if split is not None and set(groups) != {None}:
        chosen = [file for name, group in groups.items() if same_split(name, split) for file in group]
        if not chosen:
            raise UserError(
                f"it has no files of split {split}, but {_counted(groups)}",
                where=source,
                fix="set split to one of these",
            )
        _check_shards(chosen, source)
        return tuple(sorted(chosen))
    if len(groups) > 1:
        first = next(name for name in groups if name)
        raise UserError(
            f"it has files of several splits: {_counted(groups)}",
            where=source,
            fix=f"choose one with split: {first}, or give a list of files to read several",
        )
    _check_shards(files, source)
    return tuple(sorted(files))


def _check_shards(files: Sequence[Path], source: str) -> None:
    """See that data in shards such as `train-00000-of-00003.parquet` is complete."""
    shards = Counter((file.parent, match[1], match[2]) for file in files if (match := _SHARD.search(file.name)))
    for (folder, name, total), count in shards.items():
        if count < int(total):
            raise UserError(
                f"{count} of the {int(total)} shards {name}*-of-{total} are in it",
                where=source,
                fix=f"add the others (the glob is {folder}/{name}*-of-{total}*), or list the files to read only those",
            )


def _counted(groups: dict[str | None, list[Path]]) -> str:
    return ", ".join(
        f"{name or 'no split'} ({_some(sorted(file.name for file in files))})"
        for name, files in sorted(groups.items(), key=lambda group: group[0] or "~")
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more or "nothing in it"


def _glob_of(files: Sequence[Path]) -> str:
    """A glob for the files of the first one's kind."""
    suffixes = files[0].suffixes[-2:] if files[0].suffix.lower() in _COMPRESSED else files[0].suffixes[-1:]
    folder = Path(os.path.commonpath([file.parent for file in files]))
    return str(folder / "**" / f"*{''.join(suffixes)}")
