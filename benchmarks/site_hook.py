"""Hook of MkDocs: adds to the site what lies outside of docs/, and each page as Markdown with an index, llms.txt.

Pages link to files of the repository by relative paths, as GitHub shows them. On the site README.md is the first page,
other pages at the root and the examples are pages under their own paths, and linked files (evidence, notebooks, CI
files) are copied under their paths. Links are rewritten to match; one that leads nowhere fails `mkdocs build --strict`.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from markdownify import markdownify
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
_DOCS = "docs/"
_OUTSIDE = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
_OUTSIDE += [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("examples/*/README.md"))]
_LINK = re.compile(r"(?P<before>\]\(|(?:src|srcset|href)=\")(?P<target>[^)\"\s]+)")
_GENERATED = re.compile(r"^::: ", re.MULTILINE)
_ARTICLE = re.compile(r"<article.*?>(.*)</article>", re.DOTALL)
_PERMALINK = re.compile(r"\[\N{PILCROW SIGN}\]\([^)]*\)")
_TABLE_AFTER_COMMENT = re.compile(r"^(<!-- .*-->)\n(?=[|-])", re.MULTILINE)  # two blocks for GitHub, one for MkDocs
_FENCED = re.compile(r"^(`{3,}).*?^\1$", re.MULTILINE | re.DOTALL)
_PARAGRAPH = re.compile(r"[\w`]")

_markdown: dict[str, tuple[str, str, str]] = {}  # by name on the site: title, first paragraph, Markdown
_order: list[str] = []  # names of the pages in the navigation


def site_path(path: str) -> str:
    """The name of a repository's file among the site's sources."""
    return "index.md" if path == "README.md" else path.removeprefix(_DOCS)


def repository_path(source: str) -> str:
    """The repository's file behind one of the site's sources."""
    if source == "index.md":
        return "README.md"
    return _DOCS + source if (ROOT / _DOCS / source).exists() else source


def targets(path: str) -> list[str]:
    """Files and folders of the repository that a page links to."""
    text = (ROOT / path).read_text(encoding="utf-8")
    return [linked for match in _LINK.finditer(text) if (linked := _resolve(path, match["target"]))]


def _resolve(path: str, target: str) -> str | None:
    """The repository's path that a link of a page leads to; None for addresses and anchors."""
    name = target.partition("#")[0]
    if not name or ":" in name:
        return None
    linked = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
    return linked if (ROOT / linked).exists() and not linked.startswith("..") else None


def rewritten(text: str, path: str) -> str:
    """A page's Markdown with links between the site's sources.

    Args:
        text: Its Markdown.
        path: The page's path in the repository.
    """
    folder = posixpath.dirname(site_path(path))

    def link(match: re.Match[str]) -> str:
        linked = _resolve(path, match["target"])
        if linked is None:
            return match[0]
        name = site_path(linked) + ("/index.md" if (ROOT / linked).is_dir() else "")
        target = posixpath.relpath(name, folder or ".")
        _, mark, anchor = match["target"].partition("#")
        if match["before"] != "](" and target.endswith(".md"):  # MkDocs leaves HTML as it is
            target = target.removesuffix(".md") + "/"
        return match["before"] + target + mark + anchor

    return _LINK.sub(link, _TABLE_AFTER_COMMENT.sub(r"\1\n\n", text))


def _listing(folder: str) -> str:
    names = sorted(path.name for path in (ROOT / folder).iterdir() if path.is_file())
    return "\n".join([f"# {folder}", "", *(f"- [{name}]({name})" for name in names), ""])


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside of docs/, and what pages link to."""
    _markdown.clear()
    pages = [repository_path(file.src_uri) for file in files.documentation_pages()] + _OUTSIDE
    linked = dict.fromkeys(_OUTSIDE + [target for page in pages for target in targets(page)])
    for path in linked:
        if path.startswith(_DOCS):
            continue
        folder = (ROOT / path).is_dir()
        if folder:
            files.append(File.generated(config, f"{path}/index.md", content=_listing(path)))
        for file in sorted((ROOT / path).iterdir()) if folder else [ROOT / path]:
            name = site_path(file.relative_to(ROOT).as_posix())
            if file.is_file() and files.get_file_from_path(name) is None:
                files.append(File.generated(config, name, abs_src_path=str(file)))
    return files


def on_nav(nav: Navigation, **_: Any) -> None:
    """Remember the order of the pages."""
    _order[:] = [page.file.src_uri for page in nav.pages]


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Rewrite the links of a page."""
    return rewritten(markdown, repository_path(page.file.src_uri))


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Keep a page's Markdown; of one that docstrings fill, that of its HTML."""
    text = page.markdown or ""
    if _GENERATED.search(text):
        article = _ARTICLE.search(output)
        text = _PERMALINK.sub("", markdownify(article[1] if article else output, heading_style="ATX"))
    paragraphs = [part for part in _FENCED.sub("", text).split("\n\n") if _PARAGRAPH.match(part)]
    summary = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", " ".join((paragraphs or [""])[0].split()))
    _markdown[page.file.src_uri] = (page.title or "", summary, text)
    return output


def on_post_build(config: MkDocsConfig) -> None:
    """Write each page as Markdown beside its HTML, and llms.txt with all of them."""
    site = Path(config.site_dir)
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", "", "## Pages", ""]
    pages = {name: _markdown[name] for name in [*_order, *_markdown]}
    for name, (title, summary, text) in pages.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        lines.append(f"- [{title}]({config.site_url or ''}{name}): {summary}")
    (site / "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    everything = "\n\n".join(text for _, _, text in pages.values())
    (site / "llms-full.txt").write_text(everything, encoding="utf-8")
