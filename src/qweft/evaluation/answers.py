"""What a model says: greedy answers to the prompts of held-out conversations."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from qweft.data.conversation import Conversation
from qweft.errors import QweftError
from qweft.evaluation.mode import device_of, judged
from qweft.evaluation.prompts import prompt_of


@dataclass(frozen=True)
class Answer:
    """One generated answer beside the one on record.

    Args:
        prompt: What the model was shown, without the template's marks.
        reference: The answer on record.
        generated: The model's answer, without end marks and outer white space.
    """

    prompt: str
    reference: str
    generated: str

    def to_json(self) -> dict[str, str]:
        """The answer as a dict that JSON can hold."""
        return asdict(self)


def generate_answers(
    model: torch.nn.Module, tokenizer: Any, conversations: Sequence[Conversation], max_new_tokens: int
) -> list[Answer]:
    """Answers each conversation's prompt greedily, one conversation at a time.

    The next token is always the most probable one, whatever the model's own generation settings say, so that two
    models' answers differ by their weights alone. One at a time, an answer cannot depend on its neighbours' padding.

    Args:
        model: A transformers causal language model, bare or with an adapter. Its mode is restored afterwards.
        tokenizer: Its tokenizer; the prompt is rendered with its chat template, or the plain one where it has none.
        conversations: Each ends with the reference answer; what is before that is the prompt.
        max_new_tokens: An answer is cut after so many tokens; it ends before at an end token.

    Raises:
        QweftError: max_new_tokens is below one, or the chat template refuses a prompt.
    """
    if max_new_tokens < 1:
        raise QweftError(f"evaluation.max_new_tokens is {max_new_tokens}: it must be at least 1")
    ends = end_tokens(model, tokenizer)
    answers = []
    with judged(model):
        for conversation in conversations:
            prompt = prompt_of(conversation, tokenizer)
            new = _greedy(model, prompt.ids, ends, max_new_tokens)
            text = tokenizer.decode(new, skip_special_tokens=True).strip()
            answers.append(Answer(prompt.shown, prompt.reference, text))
    return answers


def _greedy(model: torch.nn.Module, prompt: list[int], ends: set[int], max_new_tokens: int) -> list[int]:
    """The most probable continuation, token by token, without its end token."""
    device = device_of(model)
    ids = torch.tensor([prompt], device=device)  # (1, T), later (1, 1): the rest is in the cache
    cache = None
    new: list[int] = []
    while len(new) < max_new_tokens:
        output = model(input_ids=ids, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        token = int(output.logits[0, -1].argmax())
        if token in ends:
            break
        new.append(token)
        ids = torch.tensor([[token]], device=device)
    return new


def end_tokens(model: torch.nn.Module, tokenizer: Any) -> set[int]:
    """The tokens that end an answer, by the tokenizer and by the model's settings: chat models may name several."""
    ends = {tokenizer.eos_token_id}
    named = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ends.update(named if isinstance(named, list | tuple) else [named])
    return ends - {None}
