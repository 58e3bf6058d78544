"""What a model says: greedy answers to the prompts of held-out conversations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from qweft.data.conversation import Conversation
from qweft.errors import QweftError
from qweft.evaluation.generation import greedy_together
from qweft.evaluation.mode import judged
from qweft.evaluation.prompts import prompt_of


@dataclass(frozen=True)
class Answer:
    """One generated answer beside the one on record.

    Args:
        prompt: What the model was shown, without the template's marks.
        reference: The answer on record.
        generated: The model's answer, without end marks and outer white space.
        is_cut: Whether it was cut after `max_new_tokens`.
        in_thought: Whether the prompt ended inside a chain of thought, so that the answer begins in one.
    """

    prompt: str
    reference: str
    generated: str
    is_cut: bool = False
    in_thought: bool = False

    def to_json(self) -> dict[str, str]:
        """What is shown of it, as a dict that JSON can hold."""
        return {"prompt": self.prompt, "reference": self.reference, "generated": self.generated}


def generate_answers(
    model: torch.nn.Module,
    tokenizer: Any,
    conversations: Sequence[Conversation],
    max_new_tokens: int,
    batch: int = 1,
) -> list[Answer]:
    """Answers each conversation's prompt greedily.

    The next token is always the most probable one, whatever the model's own generation settings say, so that two
    models' answers differ by their weights alone. An answer does not depend on how many are generated at a time.

    Args:
        model: A transformers causal language model, bare or with an adapter. Its mode is restored afterwards.
        tokenizer: Its tokenizer; the prompt is rendered with its chat template, or the plain one where it has none.
        conversations: Each ends with the reference answer; what is before that is the prompt.
        max_new_tokens: An answer is cut after so many tokens; it ends before at an end token.
        batch: Answers at a time.

    Raises:
        QweftError: max_new_tokens is below one, the chat template refuses a prompt, or the model cannot answer several
            at a time.
    """
    if max_new_tokens < 1:
        raise QweftError(f"evaluation.max_new_tokens is {max_new_tokens}: it must be at least 1")
    prompts = [prompt_of(conversation, tokenizer) for conversation in conversations]
    ends = end_tokens(model, tokenizer)
    with judged(model):
        found = greedy_together(model, [prompt.ids for prompt in prompts], ends, max_new_tokens, batch)
    return [
        Answer(
            prompt.shown, prompt.reference, tokenizer.decode(new.ids, skip_special_tokens=True).strip(), new.is_cut,
            prompt.in_thought,
        )
        for prompt, new in zip(prompts, found, strict=True)
    ]  # fmt: skip


def end_tokens(model: torch.nn.Module, tokenizer: Any) -> set[int]:
    """The tokens that end an answer, by the tokenizer and by the model's settings: chat models may name several."""
    ends = {tokenizer.eos_token_id}
    named = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ends.update(named if isinstance(named, list | tuple) else [named])
    return ends - {None}
