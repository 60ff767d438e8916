"""Text scores: BLEU (sacrebleu), ROUGE (rouge-score), exact matches."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence

# BLEU from 0 to 100 as in sacrebleu; the others are shares.
TEXT_METRICS = ("bleu", "rouge_1_share", "rouge_2_share", "rouge_l_share", "exact_match_share")
ROUGE = {"rouge_1_share": "rouge1", "rouge_2_share": "rouge2", "rouge_l_share": "rougeL"}


class WordTokenizer:
    """Splits text into lower-case words of any script and splits names at each _.

    rouge-score's own tokenizer does the same for the letters a to z only.
    """

    def tokenize(self, text: str) -> list[str]:
        return re.findall(r"[^\W_]+", text.lower())


def compute_scores(outputs: Sequence[str], references: Sequence[str]) -> tuple[dict[str, float], str]:
    """Return every text metric over the pairs, and sacrebleu's signature of the BLEU settings (Post, arXiv 1804.08771).

    ROUGE is the mean F-measure (Lin 2004, https://aclanthology.org/W04-1013) without stemming.
    Raises ImportError if the packages are not installed.
    """
    from sacrebleu.metrics import BLEU

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rouge-score imports nltk, which warns about its own dependencies
        from rouge_score.rouge_scorer import RougeScorer

    bleu = BLEU()
    found = {"bleu": float(bleu.corpus_score(list(outputs), [list(references)]).score)}
    scorer = RougeScorer(list(ROUGE.values()), tokenizer=WordTokenizer())
    pairs = list(zip(outputs, references, strict=True))
    rouge = [scorer.score(reference, output) for output, reference in pairs]
    for name, kind in ROUGE.items():
        found[name] = sum(one[kind].fmeasure for one in rouge) / len(rouge)
    found["exact_match_share"] = sum(a.strip() == b.strip() for a, b in pairs) / len(pairs)
    return found, str(bleu.get_signature())


def compute_trivial_scores(
    sources: Sequence[str], references: Sequence[str], training: Sequence[str]
) -> dict[str, float]:
    """Return the best score of three baselines without a model, for each metric.

    The outputs are the source, its first words (the median length of training targets), or the most frequent training
    target.
    """
    words = sorted(len(text.split()) for text in training)
    length = words[len(words) // 2] if words else 0
    frequent = Counter(training).most_common(1)[0][0] if training else ""
    first_words = [" ".join(text.split()[:length]) for text in sources]
    baselines = (list(sources), first_words, [frequent] * len(sources))
    found = [compute_scores(outputs, references)[0] for outputs in baselines]
    return {name: max(one[name] for one in found) for name in TEXT_METRICS}
