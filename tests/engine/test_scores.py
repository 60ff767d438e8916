"""BLEU, ROUGE and exact matches as the libraries compute them, and what is trivial."""

from __future__ import annotations

import pytest

from engine import scores


def test_what_is_the_reference_scores_full_and_what_shares_nothing_scores_none() -> None:
    texts = ["le fichier ne peut pas être ouvert", "la table n'existe pas dans la base"]
    found, signature = scores.scores(texts, texts)
    assert found["bleu"] == pytest.approx(100)
    assert [found[name] for name in scores.TEXT_METRICS[1:]] == pytest.approx([1, 1, 1, 1])
    assert "tok:13a" in signature and "version:2." in signature
    other, _ = scores.scores(["aucun mot commun ici vraiment", "rien"], texts)
    assert other["rouge_1_share"] == other["exact_match_share"] == 0
    assert other["bleu"] < 5


def test_known_figures() -> None:
    """sacrebleu's own, and ROUGE by hand: 5 of 6 and 5 of 5 words shared; 3 of 5 pairs and 3 of 4."""
    found, _ = scores.scores(["the cat sat on mat"], ["the cat sat on the mat"])
    assert found["rouge_1_share"] == pytest.approx(2 * (5 / 5 * 5 / 6) / (5 / 5 + 5 / 6))
    assert found["rouge_2_share"] == pytest.approx(2 * (3 / 4 * 3 / 5) / (3 / 4 + 3 / 5))
    assert found["rouge_l_share"] == found["rouge_1_share"]
    assert found["bleu"] == pytest.approx(57.89, abs=0.01)


def test_words_of_every_script_count() -> None:
    found, _ = scores.scores(["été à Zürich", "город Москва"], ["été à Zürich", "город Москва"])
    assert found["rouge_1_share"] == 1


def test_a_name_of_several_words_shares_them() -> None:
    found, _ = scores.scores(["read_lines"], ["read lines"])
    assert found["rouge_l_share"] == 1


def test_the_trivial_is_the_best_of_copying_leading_and_the_most_frequent() -> None:
    frequent = scores.trivial(["one two", "seven eight"], ["yes", "no"], ["yes", "yes", "maybe"])
    assert frequent["exact_match_share"] == 0.5
    leading = scores.trivial(["one two three four"], ["one two"], ["a b", "c d", "e f g"])
    assert leading["exact_match_share"] == leading["rouge_2_share"] == 1
