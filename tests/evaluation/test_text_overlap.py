"""BLEU and ROUGE by hand, and against the packages that define them."""

import numpy as np
import pytest

from qweft.evaluation.metrics.text import compare_texts

sacrebleu = pytest.importorskip("sacrebleu")
rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")
jieba = pytest.importorskip("jieba")

ENGLISH = ["The cat sat on the mat.", "I'd say: it's 3.5 miles, at least.", "Yes!", "A b c d e f"]
ENGLISH_ANSWERS = ["The cat lay on the mat today.", "it's 3.5 miles", "", "a b c d x f"]
CHINESE = ["我今天心情不太好，想找人聊聊。", "谢谢你愿意听我说话。", "北京是中国的首都"]
CHINESE_ANSWERS = ["我今天心情很好，想出去走走。", "谢谢你。", "上海是中国的城市"]


def by_name(references, answers):
    return {each.name: each for each in compare_texts(references, references, answers)}


@pytest.mark.parametrize(
    ("references", "answers", "tokenize"), [(ENGLISH, ENGLISH_ANSWERS, "13a"), (CHINESE, CHINESE_ANSWERS, "zh")]
)
def test_bleu_is_sacrebleus(references, answers, tokenize):
    found = by_name(references, answers)["BLEU-4"]
    assert found.adapted.value == pytest.approx(sacrebleu.corpus_bleu(answers, [references], tokenize=tokenize).score)
    assert found.base.value == pytest.approx(100)
    assert found.note == f"sacrebleu, tokenised by {tokenize}"
    assert found.adapted.standard_error > 0 and found.adapted.rows == len(references)


def test_english_rouge_is_rouge_scores():
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"])
    wanted = [scorer.score(told, mine) for told, mine in zip(ENGLISH, ENGLISH_ANSWERS, strict=True)]
    found = by_name(ENGLISH, ENGLISH_ANSWERS)
    for name in ("1", "2", "L"):
        mean = np.mean([row[f"rouge{name}"].fmeasure for row in wanted])
        assert found[f"ROUGE-{name}"].adapted.value == pytest.approx(100 * mean)
