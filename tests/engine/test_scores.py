"""Text scores: BLEU, ROUGE, exact matches, trivial baselines."""

from __future__ import annotations

import pytest

from engine import scores


def test_equal_texts_have_full_scores_and_unrelated_texts_have_none() -> None:
    texts = ["le fichier ne peut pas être ouvert", "la table n'existe pas dans la base"]
    found, signature = scores.compute_scores(texts, texts)
    assert found["bleu"] == pytest.approx(100)
    assert [found[name] for name in scores.TEXT_METRICS[1:]] == pytest.approx([1, 1, 1, 1])
    assert "tok:13a" in signature and "version:2." in signature
    other, _ = scores.compute_scores(["aucun mot commun ici vraiment", "rien"], texts)
    assert other["rouge_1_share"] == other["exact_match_share"] == 0
    assert other["bleu"] < 5


def test_scores_equal_known_values() -> None:
    """BLEU as in sacrebleu; ROUGE by hand: 5 of 6 and 5 of 5 words are common, 3 of 5 and 3 of 4 bigrams."""
    found, _ = scores.compute_scores(["the cat sat on mat"], ["the cat sat on the mat"])
    assert found["rouge_1_share"] == pytest.approx(2 * (5 / 5 * 5 / 6) / (5 / 5 + 5 / 6))
    assert found["rouge_2_share"] == pytest.approx(2 * (3 / 4 * 3 / 5) / (3 / 4 + 3 / 5))
    assert found["rouge_l_share"] == found["rouge_1_share"]
    assert found["bleu"] == pytest.approx(57.89, abs=0.01)


def test_words_of_every_script_count() -> None:
    found, _ = scores.compute_scores(["été à Zürich", "город Москва"], ["été à Zürich", "город Москва"])
    assert found["rouge_1_share"] == 1


def test_a_name_is_split_at_underscores() -> None:
    found, _ = scores.compute_scores(["read_lines"], ["read lines"])
    assert found["rouge_l_share"] == 1


def test_the_trivial_score_is_the_best_of_copy_first_words_and_most_frequent_target() -> None:
    frequent = scores.compute_trivial_scores(
        ["one two", "seven eight"], ["yes", "no"], ["yes", "yes", "maybe"]
    )
    assert frequent["exact_match_share"] == 0.5
    leading = scores.compute_trivial_scores(["one two three four"], ["one two"], ["a b", "c d", "e f g"])
    assert leading["exact_match_share"] == leading["rouge_2_share"] == 1
