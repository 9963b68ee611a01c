"""Texts as arrays of word numbers, duplicates stored once."""

from tasks.overlap.encoding import UniqueTexts, Vocabulary


def test_texts_are_numbered_once_by_words_and_signs():
    texts = UniqueTexts(["a b", "A, b!", "c", "", "a < b", "a > b"], Vocabulary())
    assert texts.number_of.tolist() == [0, 0, 1, 2, 3, 4]
    assert (len(texts), texts.first) == (5, [0, 2, 3, 4, 5])
    assert [texts.words_of(n).tolist() for n in range(5)] == [[1, 2], [3], [], [1, 2], [1, 2]]
    assert list(texts.keys.values()) == [0, 1, 2, 3, 4]
    assert texts.stream.dtype == Vocabulary().encode("a").dtype == "uint32"
    assert texts.stream.tolist() == [0, 1, 2, 0, 3, 0, 0, 1, 2, 0, 1, 2, 0]
