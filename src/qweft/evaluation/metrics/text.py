"""How much of the answers on record the generated ones repeat: BLEU-4, ROUGE-1, -2 and -L."""

import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from qweft.data.conversation import Conversation
from qweft.errors import require
from qweft.evaluation.metric import AnswerMetric, Both
from qweft.evaluation.scores import Array, Compared, compare_means, compare_statistics

EXTRA, WHAT = "metrics", "evaluation.metrics text"
HAN_SHARE = 0.2
"""Of a text's letters, from which on it is Chinese: a word has five letters or one or two characters."""
ROUGE = ("rouge1", "rouge2", "rougeL")
NGRAMS = 4


def is_chinese(texts: Sequence[str]) -> bool:
    """Whether the texts, all together, are written in Chinese, by their letters.

    >>> is_chinese(["你好，我是 Tom。"]), is_chinese(["How does one write 你好?"])
    (True, False)
    """
    joined = "".join(texts)
    han = len(re.findall(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]", joined))
    return han > 0 and han >= HAN_SHARE * len(re.findall(r"[^\W\d_]", joined))


def tokenizer_for(chinese: bool) -> Callable[[str], list[str]]:
    """What ROUGE counts: the words of jieba, or runs of letters and digits in lower case.

    Raises:
        QweftError: jieba is not installed.
    """
    if not chinese:
        return lambda text: re.findall(r"[^\W_]+", text.lower())
    jieba = require("jieba", EXTRA, WHAT)
    jieba.setLogLevel(logging.WARNING)
    return lambda text: [word for word in jieba.lcut(text) if word.strip()]


def compare_texts(references: Sequence[str], base: Sequence[str], adapted: Sequence[str]) -> list[Compared]:
    """BLEU-4 and ROUGE of two models' answers to the same prompts, from 0 to 100.

    Args:
        references: The answers on record; their script decides how words are told apart.
        base: The base model's answers.
        adapted: The adapted model's.

    Raises:
        QweftError: A package is missing.
    """
    chinese = is_chinese(references)
    return [_compare_bleu(references, base, adapted, chinese), *_compare_rouge(references, base, adapted, chinese)]


def _compare_bleu(references: Sequence[str], base: Sequence[str], adapted: Sequence[str], chinese: bool) -> Compared:
    kind = require("sacrebleu.metrics", EXTRA, WHAT).BLEU
    bleu = kind(tokenize="zh" if chinese else "13a", effective_order=True)  # the order concerns single rows alone

    def counts(answers: Sequence[str]) -> Array:
        """For each row: n-grams that agree, n-grams, and both lengths. Of all rows added up they make the score."""
        scores = [bleu.sentence_score(mine, [told]) for mine, told in zip(answers, references, strict=True)]
        return np.array([[*each.counts, *each.totals, each.sys_len, each.ref_len] for each in scores], dtype=float)

    def score(sums: Array) -> float:
        whole = [int(each) for each in sums]
        agree, total = whole[:NGRAMS], whole[NGRAMS : 2 * NGRAMS]
        return float(kind.compute_bleu(agree, total, *whole[2 * NGRAMS :], smooth_method="exp").score)

    note = f"sacrebleu, tokenised by {'zh' if chinese else '13a'}"
    return compare_statistics("BLEU-4", counts(base), counts(adapted), score, "%", note)


def _compare_rouge(
    references: Sequence[str], base: Sequence[str], adapted: Sequence[str], chinese: bool
) -> list[Compared]:
    tokenize = tokenizer_for(chinese)
    scorer = require("rouge_score.rouge_scorer", EXTRA, WHAT).RougeScorer(ROUGE, tokenizer=_Tokenizer(tokenize))

    def scores(answers: Sequence[str]) -> list[Any]:
        return [scorer.score(told, mine) for mine, told in zip(answers, references, strict=True)]

    both = scores(base), scores(adapted)
    note = f"F1, words of {'jieba' if chinese else 'letters and digits'}"
    return [
        compare_means(
            f"ROUGE-{name.removeprefix('rouge')}",
            [100 * row[name].fmeasure for row in both[0]],
            [100 * row[name].fmeasure for row in both[1]],
            unit="%",
            note=note,
        )
        for name in ROUGE
    ]


class _Tokenizer:
    """As rouge-score takes one."""

    def __init__(self, tokenize: Callable[[str], list[str]]) -> None:
        self.tokenize = tokenize


def _score(source: str, conversations: Sequence[Conversation], both: Both) -> tuple[list[Compared], list[Any]]:
    texts = [[each.generated for each in answers] for answers in (both.base, both.adapted)]
    return compare_texts([each.reference for each in both.base], *texts), []


METRIC = AnswerMetric(_score, packages=("sacrebleu", "rouge_score", "jieba"), extra=EXTRA)
