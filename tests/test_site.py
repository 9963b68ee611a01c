"""The documentation site: links into the repository, every page as Markdown too, llms.txt, nothing from elsewhere."""

import re

import pytest

pytest.importorskip("mkdocs", reason="the extra docs is not installed")

from benchmarks.site_hook import rewritten, site_path
from tests.pages import PAGES, ROOT, name_of

EXAMPLES = sorted((ROOT / "examples").glob("*/README.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


def html_of(site, page):
    name = site_path(name_of(page)).removesuffix(".md").removesuffix("README").removesuffix("index")
    return site / name / "index.html"


@pytest.mark.parametrize("page", [*PAGES, *EXAMPLES], ids=name_of)
def test_a_page_is_there_as_html_and_as_markdown(site, page):
    assert html_of(site, page).is_file()
    markdown = (site / site_path(name_of(page))).read_text(encoding="utf-8")
    assert markdown.startswith("# ")
    index = (site / "llms.txt").read_text(encoding="utf-8")
    assert re.search(rf"\]\({re.escape(site_path(name_of(page)))}\): \S", index), "without a summary"


def test_the_reference_has_signatures_and_docstrings_in_both_forms(site):
    html = (site / "api" / "index.html").read_text(encoding="utf-8")
    markdown = (site / "api.md").read_text(encoding="utf-8")
    for name in ("harness.api.run", "harness.loading.Run.flips", "harness.stats.compare", "harness.metrics.macro_f1"):
        assert f'id="{name}"' in html
    assert "### run" in markdown
    assert "Plan, train where needed, score, report." in markdown
    assert "\N{PILCROW SIGN}" not in markdown


def test_linked_files_are_copied_and_pictures_shown(site):
    assert (site / "benchmarks" / "results" / "gpu" / "speed.json").is_file()
    assert (site / "examples" / "colab.ipynb").is_file()
    home = (site / "index.html").read_text(encoding="utf-8")
    for source in re.findall(r'(?:src|srcset)="(pictures/[^"]+)"', home):
        assert (site / source).is_file()
    assert 'href="quickstart/"' in home


def test_no_page_loads_anything_from_elsewhere(site):
    loaded = re.compile(r'<(?:script|img|link|source)\b[^>]*\b(?:src|href|srcset)="(?:https?:)?//[^"]*"')
    for page in site.rglob("*.html"):
        others = [tag for tag in loaded.findall(page.read_text(encoding="utf-8")) if 'rel="canonical"' not in tag]
        assert others == [], page


@pytest.mark.parametrize(
    ("path", "markdown", "expected"),
    [
        ("docs/gate.md", "[a](statistics.md#outcomes)", "[a](statistics.md#outcomes)"),
        ("docs/gate.md", "[a](../SECURITY.md)", "[a](SECURITY.md)"),
        ("docs/gate.md", "[a](../README.md#go-on)", "[a](index.md#go-on)"),
        ("docs/speed.md", "[a](../benchmarks/results/cpu_speed.json)", "[a](benchmarks/results/cpu_speed.json)"),
        ("docs/training.md", "[a](../benchmarks/results/gpu/recipes)", "[a](benchmarks/results/gpu/recipes/index.md)"),
        ("README.md", '<a href="docs/speed.md">', '<a href="speed/">'),
        ("examples/gate/README.md", "[a](../../docs/gate.md)", "[a](../../gate.md)"),
        ("examples/gate/README.md", "[a](../ci/github.yml)", "[a](../ci/github.yml)"),
        ("docs/gate.md", "[a](https://example.org/x.md) [b](#slices)", "[a](https://example.org/x.md) [b](#slices)"),
        ("docs/gate.md", "[a](nowhere.md)", "[a](nowhere.md)"),
    ],
)
def test_links_lead_to_the_same_file_on_the_site(path, markdown, expected):
    assert rewritten(markdown, path) == expected


def test_a_table_after_a_comment_is_a_block_of_its_own():
    assert rewritten("<!-- a -->\n| b |\n", "README.md") == "<!-- a -->\n\n| b |\n"
