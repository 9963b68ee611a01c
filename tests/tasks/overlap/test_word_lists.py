"""The file of word lists, and how it is read."""

from tasks.overlap.word_lists import CONFUSABLE, DECISIVE_CHARACTERS, DECISIVE_WORDS, UNSPACED_FRAME, parse_lists


def test_lists_are_words_below_their_name_without_comments():
    text = "# A comment.\n\n[function]\n# Another one.\na an\nthe\n\n[unspaced frame]\n[frame]\nbest\n"
    assert parse_lists(text) == {"function": ["a", "an", "the"], "frame": ["best"]}
    assert parse_lists("[function]\na\n[frame]\nbest\n[function]\nan")["function"] == ["a", "an"]


def test_the_file_has_words_pairs_and_characters():
    assert {"not", "third", "chronic"} <= DECISIVE_WORDS
    assert frozenset(("dysphagia", "dysphasia")) in CONFUSABLE
    assert {len(pair) for pair in CONFUSABLE} == {2}
    assert {len(character) for character in DECISIVE_CHARACTERS} == {1}
    assert "不" in DECISIVE_CHARACTERS
    assert list(map(len, UNSPACED_FRAME)) == sorted(map(len, UNSPACED_FRAME), reverse=True)
