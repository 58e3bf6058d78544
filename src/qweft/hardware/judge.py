"""A model judged on a sample: losses, predictions, answers."""

from collections.abc import Sequence
from typing import Any

from qweft.data.conversation import Conversation
from qweft.data.tokens import Encoded
from qweft.evaluation.answers import generate_answers
from qweft.evaluation.loss import score_rows
from qweft.hardware.outcome import Judged


def judge(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Encoded],
    conversations: Sequence[Conversation],
    batch_size: int,
    max_new_tokens: int,
) -> Judged:
    """Scores of the rows, and greedy answers to the conversations' prompts."""
    scores = score_rows(model, rows, tokenizer.pad_token_id, batch_size)
    answers = generate_answers(model, tokenizer, conversations, max_new_tokens)
    return Judged(scores, tuple(answer.generated for answer in answers))
