"""The page on which people rate shows what steers a browser or a terminal, as the report does."""

from reports.document.schema import Sample
from reports.rating_sheet import make_sheet


def test_control_characters_of_answers_are_visible_on_the_page(tmp_path):
    texts = {"prompt": "p\x00", "output": "o\x1b[31m<b>\ud83d", "gold": "g"}
    sample = Sample(id="1", doc_hash="1", model="base", task="t", metrics={}, **texts)
    make_sheet({"base": {"1": sample}}, ["1"], "t", tmp_path)
    page = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert "p\u2400" in page
    assert "o\u241b[31m&lt;b&gt;\ufffd" in page
