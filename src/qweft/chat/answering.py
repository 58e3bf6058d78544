"""Generation of an answer: sampling token by token, and streaming in whole characters."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from qweft.errors import QweftError
from qweft.evaluation.generation import Reading, end_tokens
from qweft.text import many


class Sampler:
    """Chooses the next token.

    At temperature 0 it is the most probable one. Above, one is drawn in proportion to p^(1 / temperature), from the
    smallest set with at least the total probability `top_p`.
    """

    def __init__(self, temperature: float, top_p: float, seed: int):
        self._temperature = temperature
        self._top_p = top_p
        # on the CPU, so that a seed gives the same samples on every device
        self._generator = torch.Generator().manual_seed(seed)

    def choose(self, logits: torch.Tensor) -> int:
        """Return the next token.

        Args:
            logits: (vocabulary,), of any dtype.
        """
        if self._temperature == 0:
            return int(logits.argmax())
        values = logits.detach().cpu().double()
        if not values.max().isfinite():  # also of NaN
            raise QweftError(
                "the model gives no probabilities for the next token (NaN or infinity), so none can be drawn; the "
                "adapter's weights or alpha are too large: train it anew with a lower learning rate"
            )
        # subtracting the maximum first avoids inf - inf at a tiny temperature
        shares, tokens = torch.softmax((values - values.max()) / self._temperature, -1).sort(descending=True)
        before = shares.cumsum(-1) - shares
        shares = shares.where(before < self._top_p, 0.0)
        return int(tokens[torch.multinomial(shares, 1, generator=self._generator)])


HALF = "\ufffd"
"""Replacement character that a decoder writes for bytes of an invalid or incomplete character."""


class Pieces:
    """Decodes tokens to pieces of text, whose concatenation is the answer.

    A token of a byte-level vocabulary may be part of a character. A Chinese character has three bytes and often three
    tokens. Incomplete characters are held back.
    """

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._text = ""  # text returned so far, including leading white space

    @property
    def text(self) -> str:
        """Text returned so far, without leading and trailing white space."""
        return self._text.strip()

    def add(self, token: int) -> str:
        """Add a token; return the newly completed text, which may be empty."""
        self._tokens.append(token)
        return self._give(self._decoded().rstrip(HALF))

    def end(self) -> str:
        """Return the remaining text, including incomplete characters."""
        return self._give(self._decoded())

    def _decoded(self) -> str:
        # decodes all tokens, since the text of a token depends on those before it
        text: str = self._tokenizer.decode(self._tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def _give(self, text: str) -> str:
        # some decoders retract characters while the bytes after them are incomplete; returned text cannot be retracted
        if not text.startswith(self._text):
            return ""
        before = self._text
        self._text = text
        return text[len(before) :] if before.strip() else text.lstrip()


End = Literal["end token", "max_new_tokens", "context", "stopped"]


@dataclass(frozen=True)
class Answer:
    """A complete answer.

    Args:
        text: Text of the answer, without leading and trailing white space.
        prompt: Tokens of the prompt.
        tokens: Tokens of the answer, without its end token.
        seconds: Time from the start of the generation to the last token.
        end: Why it ended: the model's end token, the limit on new tokens, the model's context, or a stop by the user.
        left_out: Number of the oldest turns that did not fit into the prompt.
    """

    text: str
    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    seconds: float
    end: End
    left_out: int

    @property
    def tokens_per_second(self) -> float:
        """Tokens of the answer per second, including the time to process the prompt."""
        return len(self.tokens) / self.seconds if self.seconds else 0.0

    def note(self) -> str:
        """Return the length and speed of the answer, and why it ended if not by its end token."""
        cut = {
            "end token": "", "stopped": "; stopped", "max_new_tokens": "; cut by --max-new-tokens",
            "context": "; cut: the model takes no more tokens",
        }  # fmt: skip
        return f"{many(len(self.tokens), 'token')}, {self.tokens_per_second:.1f} a second{cut[self.end]}"


class Answering:
    """An iterator over the text of an answer in pieces; `answer` is available at its end.

    It has at most `most` tokens, and no more than the `room` left in the model's context (`None`: no limit).
    """

    def __init__(
        self, model: Any, tokenizer: Any, prompt: Sequence[int], sampler: Sampler, most: int, room: int | None,
        left_out: int,
    ):  # fmt: skip
        self._model = model
        self._ends = end_tokens(model, tokenizer)
        self._pieces = Pieces(tokenizer)
        self._prompt = tuple(prompt)
        self._sampler = sampler
        self._limit = most if room is None else min(most, room)
        self._cut: End = "max_new_tokens" if self._limit == most else "context"
        self._left_out = left_out
        self._stopped = False
        self._answer: Answer | None = None

    @property
    def answer(self) -> Answer:
        """The complete answer; available only after the iteration."""
        assert self._answer is not None, "it has not been given to its end"
        return self._answer

    @property
    def is_done(self) -> bool:
        """Whether the answer is complete."""
        return self._answer is not None

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def stop(self) -> None:
        """End the answer after the token that is being computed."""
        self._stopped = True

    def __iter__(self) -> Iterator[str]:
        """Yield pieces of text in whole characters."""
        began = time.perf_counter()
        tokens: list[int] = []
        end: End = self._cut
        ids, reading = list(self._prompt), Reading(self._model)
        while len(tokens) < self._limit:
            logits = self._read(reading, ids)
            if self._stopped:
                end = "stopped"
                break
            token = self._sampler.choose(logits)
            if token in self._ends:
                end = "end token"
                break
            tokens.append(token)
            ids = [token]
            piece = self._pieces.add(token)
            if piece:
                yield piece
        rest = self._pieces.end()
        if rest:
            yield rest
        seconds = time.perf_counter() - began
        self._answer = Answer(self._pieces.text, self._prompt, tuple(tokens), seconds, end, self._left_out)

    @torch.no_grad()  # here and not in __iter__, where it would also apply to the caller between two pieces
    def _read(self, reading: Reading, ids: list[int]) -> torch.Tensor:
        return reading.logits_after(ids)
