"""Metric of text overlap with the reference answers: BLEU-4, ROUGE-1, ROUGE-2 and ROUGE-L."""

import logging
import re
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from qweft.core.errors import require
from qweft.core.files import cache_folder
from qweft.data.conversation import Conversation
from qweft.evaluation.metrics import AnswerMetric
from qweft.evaluation.metrics.reasoning import with_its_thought
from qweft.evaluation.scores import Array, Compared, compare_means, compare_statistics

if TYPE_CHECKING:
    from qweft.evaluation.generation import Answer

EXTRA, WHAT = "metrics", "evaluation.metrics text"
HAN_SHARE = 0.2
"""Least share of Han characters among a Chinese text's letters; Latin words have more (five, not one or two)."""
ROUGE = ("rouge1", "rouge2", "rougeL")
NGRAMS = 4
MARKS = ("Mn", "Mc")
"""Unicode's categories of marks that belong to the letter before them."""
SELECTORS = {chr(code) for code in range(0xFE00, 0xFE10)}
"""Marks that only choose between pictures of a sign."""
JOINERS = "\u200c\u200d"
"""Invisible signs inside words of Persian and Hindi."""


def is_chinese(texts: Sequence[str]) -> bool:
    """Whether the joined texts are Chinese, by their share of Han characters."""
    joined = "".join(texts)
    han = len(re.findall(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]", joined))
    return han > 0 and han >= HAN_SHARE * len(re.findall(r"[^\W\d_]", joined))


def tokenizer_for(chinese: bool) -> Callable[[str], list[str]]:
    """Return ROUGE's tokenizer: jieba for Chinese, else lowercased runs of letters and digits, with their marks."""
    if not chinese:
        return _words
    jieba = require("jieba", EXTRA, WHAT)
    jieba.setLogLevel(logging.WARNING)
    cutter, folder = jieba.Tokenizer(), cache_folder() / "jieba"
    with suppress(OSError):  # jieba goes on without its cache
        folder.mkdir(parents=True, exist_ok=True)
    # by default its dictionary is read from /tmp/jieba.cache, whoever wrote that, and whichever version
    cutter.tmp_dir, cutter.cache_file = str(folder), f"jieba-{version('jieba')}.cache"
    return lambda text: [word for word in cutter.lcut(text) if word.strip()]


def _words(text: str) -> list[str]:
    """Return the words in lower case; Python's expressions count marks, such as Hindi's vowels, to no word."""
    text = unicodedata.normalize("NFC", text.lower())
    marks = {sign for sign in text if unicodedata.category(sign) in MARKS} - SELECTORS
    inside = f"[^\\W_]|[{''.join(marks)}]" if marks else r"[^\W_]"
    return re.findall(rf"[^\W_](?:[{JOINERS}]?(?:{inside}))*", text)


def compare_texts(references: Sequence[str], base: Sequence[str], adapted: Sequence[str]) -> list[Compared]:
    """Compare two models' answers to the same prompts by BLEU-4 and ROUGE, from 0 to 100."""
    chinese = is_chinese(references)
    return [_bleu(references, base, adapted, chinese), *_rouge(references, base, adapted, chinese)]


def _bleu(references: Sequence[str], base: Sequence[str], adapted: Sequence[str], chinese: bool) -> Compared:
    kind = require("sacrebleu.metrics", EXTRA, WHAT).BLEU
    bleu = kind(tokenize="zh" if chinese else "13a", effective_order=True)  # only affects single rows

    def counts(answers: Sequence[str]) -> Array:
        """Return each row's matching n-grams, n-grams and both lengths; their sums over rows give the score."""
        scores = [bleu.sentence_score(mine, [told]) for mine, told in zip(answers, references, strict=True)]
        return np.array([[*each.counts, *each.totals, each.sys_len, each.ref_len] for each in scores], dtype=float)

    def score(sums: Array) -> float:
        whole = [int(each) for each in sums]
        agree, total = whole[:NGRAMS], whole[NGRAMS : 2 * NGRAMS]
        return float(kind.compute_bleu(agree, total, *whole[2 * NGRAMS :], smooth_method="exp").score)

    note = f"sacrebleu, tokenised by {'zh' if chinese else '13a'}"
    return compare_statistics("BLEU-4", counts(base), counts(adapted), score, "%", note)


def _rouge(references: Sequence[str], base: Sequence[str], adapted: Sequence[str], chinese: bool) -> list[Compared]:
    kind = require("rouge_score.rouge_scorer", EXTRA, WHAT).RougeScorer
    scorer = kind(ROUGE, tokenizer=SimpleNamespace(tokenize=tokenizer_for(chinese)))

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


def _score(
    source: str, conversations: Sequence[Conversation], base: Sequence["Answer"], adapted: Sequence["Answer"]
) -> tuple[list[Compared], list[Any]]:
    references = [with_its_thought(each.reference) for each in base]
    texts = [[with_its_thought(each.generated, each.in_thought) for each in answers] for answers in (base, adapted)]
    return compare_texts(references, *texts), []


METRIC = AnswerMetric(_score, packages=("sacrebleu", "rouge_score", "jieba"))
