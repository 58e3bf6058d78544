"""Greedy generation of answers to held-out prompts, in batches."""

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig

from qweft.adapter.attach import base_of
from qweft.core.progress import with_progress
from qweft.data.conversation import Conversation
from qweft.data.template import render
from qweft.data.tokens import answer_spans, closing_tokens, text_tokens
from qweft.data.tool_text import adapt_to_template
from qweft.evaluation.loss import context_of, device_of, judged

FELT = 2e-5
"""Relative change of a logit by padding above which rows are generated alone."""


@dataclass(frozen=True)
class Prompt:
    """A conversation up to its last answer."""

    ids: list[int]
    shown: str
    reference: str
    in_thought: bool = False


def prompt_of(conversation: Conversation, tokenizer: Any) -> Prompt:
    """Return the prompt of a conversation, or the first half of a plain text's tokens."""
    if conversation.is_text:
        ids = text_tokens(conversation.answer, tokenizer)
        half = (len(ids) + 1) // 2
        shown, rest = (tokenizer.decode(part, skip_special_tokens=True) for part in (ids[:half], ids[half:]))
        return Prompt(ids[:half], shown, rest)
    formed = adapt_to_template(conversation, tokenizer)
    text = render(formed.prompt, tokenizer, answer_next=True, tools=formed.tools)
    ids = tokenizer(text, add_special_tokens=False).input_ids
    reference = conversation.answer
    if conversation.messages[-1].calls:  # each template writes a call in its own form
        whole, spans = answer_spans(conversation, tokenizer)
        learned = tokenizer(whole[slice(*spans[-1])], add_special_tokens=False).input_ids
        reference = tokenizer.decode(learned, skip_special_tokens=True).strip()
    shown = "\n\n".join(f"{message.role}: {message.full_text}" for message in conversation.prompt)
    if len(conversation.prompt) == 1:
        shown = conversation.prompt[0].content
    return Prompt(ids, shown, reference, text.rstrip().endswith("<think>"))


@dataclass(frozen=True)
class Continuation:
    """Generated continuation of a prompt."""

    ids: list[int]
    is_cut: bool


def reads_whole_text(model: torch.nn.Module) -> bool:
    """Whether an adapter needs the whole text at each call: virtual tokens, or tokens from which on it acts."""
    config = getattr(model, "active_peft_config", None)
    return bool(getattr(config, "is_prompt_learning", False) or getattr(config, "alora_invocation_tokens", None))


def greedy(model: Any, prompt: Sequence[int], ends: set[int], max_new_tokens: int) -> Continuation:
    """Generate the greedy continuation of one prompt; the reference for batched generation."""
    return _generated(model, [prompt], ends, max_new_tokens)[0]


def _generated(model: Any, prompts: Sequence[Sequence[int]], ends: set[int], max_new_tokens: int) -> list[Continuation]:
    """Generate the most probable tokens after each prompt, padded on the left, up to the end of the context."""
    ids, mask, _ = _padded(model, prompts)
    most = min(max_new_tokens, (context_of(model) or math.inf) - ids.shape[1])
    if most <= 0:
        return [Continuation([], is_cut=True) for _ in prompts]
    settings = GenerationConfig(
        do_sample=False, max_new_tokens=int(most), eos_token_id=sorted(ends) or None, pad_token_id=0, use_cache=True
    )
    base = base_of(model)
    own, base.generation_config = base.generation_config, settings  # else a penalty of repetition would hold
    try:
        tokens = model.generate(input_ids=ids, attention_mask=mask)
    finally:
        base.generation_config = own
    rows = tokens[:, ids.shape[1] :].tolist()
    stops = [next((place for place, token in enumerate(row) if token in ends), None) for row in rows]
    return [Continuation(row[:stop], stop is None) for row, stop in zip(rows, stops, strict=True)]


def greedy_together(
    model: torch.nn.Module, prompts: Sequence[Sequence[int]], ends: set[int], max_new_tokens: int, batch: int
) -> list[Continuation]:
    """Generate what `greedy` gives, several prompts at a time."""
    answers: dict[int, Continuation] = {}
    # longest first: little padding, and a batch that does not fit in memory fails at once
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    most = (context_of(model) or math.inf) - max_new_tokens  # longer ones end at the context, each at its own
    fitting = [index for index in order if len(prompts[index]) <= most] if batch > 1 and _takes_batches(model) else []
    if len(fitting) > 1 and feels_padding(model, [prompts[index] for index in fitting]):
        fitting = []
    together = [fitting[start : start + batch] for start in range(0, len(fitting), batch)]
    alone = [[index] for index in order if index not in fitting]
    for chosen in with_progress(together + alone, "answering", "prompt", len):
        given = [prompts[index] for index in chosen]
        answers |= dict(zip(chosen, _generated(model, given, ends, max_new_tokens), strict=True))
    return [answers[index] for index in range(len(prompts))]


def _takes_batches(model: torch.nn.Module) -> bool:
    """Whether several prompts can be answered at a time: in less than float32 an answer would depend on the others."""
    is_exact = next(model.parameters()).dtype in (torch.float32, torch.float64)
    is_exact = is_exact and base_of(model).config.model_type != "minimax"  # its state holds padding, whatever the mask
    taken = inspect.signature(base_of(model).forward).parameters.keys()
    return is_exact and {"position_ids", "past_key_values"} <= taken and not reads_whole_text(model)


def feels_padding(model: torch.nn.Module, prompts: Sequence[Sequence[int]]) -> bool:
    """Whether the most padding that a batch could have changes a prompt's next logits."""
    shortest, longest = min(prompts, key=len), max(prompts, key=len)
    alone = model(input_ids=torch.tensor([list(shortest)], device=device_of(model)), use_cache=False).logits[0, -1]
    ids, mask, positions = _padded(model, [shortest, longest])
    padded = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True).logits[0, -1]
    return not bool((alone - padded).abs().max() <= FELT * alone.abs().max())


def _padded(
    model: torch.nn.Module, prompts: Sequence[Sequence[int]]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns token ids, mask and positions of prompts that are padded on the left, each (rows, T)."""
    device, longest = device_of(model), max(map(len, prompts))
    ids = torch.zeros(len(prompts), longest, dtype=torch.long, device=device)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(list(prompt), device=device)
        mask[row, longest - len(prompt) :] = 1
    return ids, mask, (mask.cumsum(1) - 1).clamp(min=0)


@dataclass(frozen=True)
class Answer:
    """A generated answer with its prompt and reference."""

    prompt: str
    reference: str
    generated: str
    is_cut: bool = False
    in_thought: bool = False

    def to_json(self) -> dict[str, str]:
        """Return prompt, reference and answer, as JSON can hold them."""
        return {"prompt": self.prompt, "reference": self.reference, "generated": self.generated}


def generate_answers(
    model: torch.nn.Module, tokenizer: Any, prompts: Sequence[Prompt], max_new_tokens: int, batch: int = 1
) -> list[Answer]:
    """Generate a greedy answer to each prompt, whatever the model's own settings and the batch."""
    ids, ends = [prompt.ids for prompt in prompts], end_tokens(model, tokenizer)
    with judged(model):
        found = greedy_together(model, ids, ends, max_new_tokens, batch)
    texts = [tokenizer.decode(new.ids, skip_special_tokens=True).strip() for new in found]
    return [
        Answer(prompt.shown, prompt.reference, text, new.is_cut, prompt.in_thought)
        for prompt, text, new in zip(prompts, texts, found, strict=True)
    ]


def end_tokens(model: torch.nn.Module, tokenizer: Any) -> set[int]:
    """Return the end tokens of the tokenizer, its chat template, and the generation config, which may name several."""
    ends = {tokenizer.eos_token_id, *closing_tokens(tokenizer)}
    named = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ends.update(named if isinstance(named, list | tuple) else [named])
    return ends - {None}
