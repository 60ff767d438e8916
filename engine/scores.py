"""How close texts come to their references: BLEU by sacrebleu, ROUGE by rouge-score, exact matches."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence

# BLEU as sacrebleu writes it, 0 to 100; the others are shares.
TEXT_METRICS = ("bleu", "rouge_1_share", "rouge_2_share", "rouge_l_share", "exact_match_share")
ROUGE = {"rouge_1_share": "rouge1", "rouge_2_share": "rouge2", "rouge_l_share": "rougeL"}


class Words:
    """Words of any script in lower case, names parted at each _: as rouge-score's own tokenizer does, which knows the
    letters a to z alone."""

    def tokenize(self, text: str) -> list[str]:
        return re.findall(r"[^\W_]+", text.lower())


def scores(outputs: Sequence[str], references: Sequence[str]) -> tuple[dict[str, float], str]:
    """Every text metric over the pairs, and sacrebleu's signature, which says how its BLEU was computed (Post, arXiv
    1804.08771). ROUGE is the mean F-measure (Lin 2004, https://aclanthology.org/W04-1013), without stemming. Raises
    ImportError where the packages are not installed."""
    from sacrebleu.metrics import BLEU

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nltk, which rouge-score imports, warns of its own dependencies
        from rouge_score.rouge_scorer import RougeScorer

    bleu = BLEU()
    found = {"bleu": float(bleu.corpus_score(list(outputs), [list(references)]).score)}
    scorer = RougeScorer(list(ROUGE.values()), tokenizer=Words())
    pairs = list(zip(outputs, references, strict=True))
    rouge = [scorer.score(reference, output) for output, reference in pairs]
    for name, kind in ROUGE.items():
        found[name] = sum(one[kind].fmeasure for one in rouge) / len(rouge)
    found["exact_match_share"] = sum(a.strip() == b.strip() for a, b in pairs) / len(pairs)
    return found, str(bleu.get_signature())


def trivial(sources: Sequence[str], references: Sequence[str], training: Sequence[str]) -> dict[str, float]:
    """What takes no learning scores on the same texts, each metric by what suits it best: the source copied, its
    first words (as many as training targets have in the middle), or the most frequent target of training."""
    words = sorted(len(text.split()) for text in training)
    length = words[len(words) // 2] if words else 0
    frequent = Counter(training).most_common(1)[0][0] if training else ""
    tries = (list(sources), [" ".join(text.split()[:length]) for text in sources], [frequent] * len(sources))
    found = [scores(outputs, references)[0] for outputs in tries]
    return {name: max(one[name] for one in found) for name in TEXT_METRICS}
