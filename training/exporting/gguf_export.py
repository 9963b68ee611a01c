"""Writes an exported model folder as a GGUF file, which is read back and compared before it gets its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reports.errors import UserError, did_you_mean
from reports.files import read_json, sha256_file, write_json
from training.exporting import llama_cpp
from training.exporting.export import partial
from training.exporting.export_log import ExportLog, GgufLog
from training.exporting.gguf_check import compare_predictions, compare_settings, compare_tokenizers, compare_weights
from training.exporting.gguf_llama import OWN_TYPES, is_llama, write_llama
from training.exporting.gguf_tokenizer import LLAMA_CPP
from training.exporting.provenance import gguf_log_path
from training.models.gguf_model import convert_gguf

_EXACT = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


def check_gguf_type(kind: str) -> None:
    """Check that there is such a type, and that it can be written on this machine.

    Raises:
        UserError: There is none, or it takes llama.cpp, which is not installed.
    """
    types = (*OWN_TYPES, *(name for name in llama_cpp.QUANTISED if name not in OWN_TYPES))
    if kind not in types:
        raise UserError(
            f"no such type; there are {', '.join(types)}", where=f"--gguf {kind}", fix=did_you_mean(kind.lower(), types)
        )
    if kind not in OWN_TYPES and llama_cpp.quantiser() is None:
        raise UserError(
            f"only llama.cpp's llama-quantize writes {kind}, and it was not found",
            where=f"--gguf {kind}",
            fix=f"{LLAMA_CPP}; or take one of {', '.join(OWN_TYPES)}, which medbench writes for models of the Llama"
            f" family itself",
        )


def export_gguf(
    make_merged: Callable[[Path], tuple[Path, ExportLog]], target: Path, kind: str, *, say: Callable[[str], None]
) -> ExportLog:
    """Write a merged model as a GGUF file, and its log beside it.

    Args:
        make_merged: Gets a folder for temporary files; returns the merged model's folder and log.
        target: The file to write, which must not exist.
        kind: Its type, which `check_gguf_type` accepts.
        say: Called with a line for each step.

    Raises:
        UserError: The file exists; the model is of a kind that cannot be written, or read back; or the file does not
            hold the merged model.
    """
    from transformers import AutoTokenizer

    with partial(target) as part:
        merged, log = make_merged(part)
        file, read = part / "model.gguf", part / "read"
        by = _write(merged, file, kind, target.stem, log, say)
        say("  reading it back and comparing")
        convert_gguf(file, read)
        own, other = (
            AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
            for path in (merged, read)
        )
        tensors, error = compare_weights(merged, read, kind, exact=by == "medbench")
        texts = compare_tokenizers(own, other)
        compare_settings(merged, read, own.eos_token_id)
        agreement = compare_predictions(merged, read, own)
        gguf = GgufLog(
            sha256=sha256_file(file),
            type=kind,
            bytes=file.stat().st_size,
            written_by=by,
            tensors=tensors,
            relative_error=error,
            texts=texts,
            mean_kl=agreement.mean_kl,
            same_top_token=agreement.same_top,
        )
        log = log.model_copy(update={"gguf": gguf})
        write_json(gguf_log_path(target), log.model_dump(mode="json"))
        file.replace(target)
    return log


def _write(merged: Path, file: Path, kind: str, name: str, log: ExportLog, say: Callable[[str], None]) -> str:
    """Write the file with what there is: llama.cpp's tools, or medbench's own writer for the Llama family."""
    script, program = llama_cpp.converter(), llama_cpp.quantiser()
    if script is None and not is_llama(merged):
        architecture = (read_json(merged / "config.json").get("architectures") or ["unknown"])[0]
        raise UserError(
            f"medbench writes GGUF files of the Llama family only, not of {architecture}",
            where=f"--gguf {kind}",
            fix=f"{LLAMA_CPP} (all architectures and types)",
        )
    if script is None and kind in OWN_TYPES:
        say(f"  writing {kind} with the gguf package")
        write_llama(merged, file, kind, name)
        return "medbench"
    direct = kind in llama_cpp.CONVERTED
    first, first_kind = (file, kind) if direct else (file.with_name("exact.gguf"), _EXACT[log.dtype])
    say(f"  writing {kind} with llama.cpp")
    if script is not None:
        llama_cpp.convert(script, merged, first, first_kind)
    else:
        write_llama(merged, first, first_kind, name)
    if not direct:
        if program is None:
            raise UserError("llama.cpp's llama-quantize was not found", where=f"--gguf {kind}", fix=LLAMA_CPP)
        llama_cpp.quantise_file(program, first, file, kind)
        first.unlink()
    return "llama.cpp"
