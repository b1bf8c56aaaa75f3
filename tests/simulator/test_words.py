from random import Random

import pytest

from stream.simulator import words


def distance(one: str, other: str) -> int:
    """Edits between two words, of which a swap of neighbours is one (Damerau-Levenshtein, restricted)."""
    rows = [list(range(len(other) + 1))]
    for i, a in enumerate(one, 1):
        rows.append([i] + [0] * len(other))
        for j, b in enumerate(other, 1):
            rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (a != b))
            if i > 1 and j > 1 and (a, one[i - 2]) == (other[j - 2], b):
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


def test_a_typo_is_one_slip_away() -> None:
    rng = Random(1)
    for _ in range(2_000):
        term = rng.choice(words.CATEGORIES).german[0]
        assert distance(term, words.typo(rng, term)) == 1, term


def test_typos_are_of_all_kinds() -> None:
    rng = Random(2)
    lengths = {len(words.typo(rng, "stiefel")) - len("stiefel") for _ in range(100)}
    assert lengths == {-1, 0, 1}


@pytest.mark.parametrize("term", ["", "a", "tv"])
def test_a_term_too_short_for_one_stays(term: str) -> None:
    assert words.typo(Random(1), term) == term


def test_brands_are_distinct_and_can_be_json_as_they_are() -> None:
    names = words.brand_names(Random(3), 5_000)
    assert len(set(names)) == 5_000
    assert all(name.isalpha() for name in names)


def test_terms_grow_narrower_and_are_of_two_languages() -> None:
    boots = next(category for category in words.CATEGORIES if category.name == "boots")
    german, english = words.terms(Random(1), boots, ["Velora"])
    assert "stiefel" in german.broad
    assert "boots" in english.broad
    assert all(any(term in narrow for term in english.broad) for narrow in english.narrow)
    assert min(map(len, english.narrow)) > min(map(len, english.broad))
    assert english.by_brand == ["velora boots"]


def test_no_word_would_break_json() -> None:
    for category in words.CATEGORIES:
        for word in (category.name, *category.english, *category.german):
            assert not set(word) & set('"\\\n')
