"""An answer while it is generated: sampled token by token, shown in whole characters."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from qweft.evaluation.generation import end_tokens
from qweft.evaluation.loss import device_of
from qweft.text import many


class Sampler:
    """The most probable token, or one drawn.

    Args:
        temperature: 0 takes the most probable token; above it p^(1 / temperature), normalised, is drawn from.
        top_p: Drawn among the fewest tokens that have at least this probability together.
        seed: Of the draws.
    """

    def __init__(self, temperature: float, top_p: float, seed: int):
        self._temperature = temperature
        self._top_p = top_p
        # Drawn on the CPU, so that a seed gives the same answer wherever the model is.
        self._generator = torch.Generator().manual_seed(seed)

    def choose(self, logits: torch.Tensor) -> int:
        """The next token.

        Args:
            logits: (vocabulary,), of any type.
        """
        if self._temperature == 0:
            return int(logits.argmax())
        values = logits.detach().cpu().double()
        # The largest is 0 before it is divided: a tiny temperature then leaves 0 and -inf, and no inf - inf.
        shares, tokens = torch.softmax((values - values.max()) / self._temperature, -1).sort(descending=True)
        before = shares.cumsum(-1) - shares
        shares = shares.where(before < self._top_p, 0.0)
        return int(tokens[torch.multinomial(shares, 1, generator=self._generator)])


HALF = "\ufffd"
"""What a decoder writes in the place of bytes that are no character, or not yet."""


class Pieces:
    """Takes tokens, gives text; the pieces joined are the answer.

    A token of a byte-level vocabulary may be a part of a character: a Chinese one has three bytes and often as many
    tokens. Such parts wait for the rest.

    Args:
        tokenizer: A transformers tokenizer.
    """

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._text = ""  # what was given, with the white space that an answer begins with

    @property
    def text(self) -> str:
        """All that was given, without outer white space."""
        return self._text.strip()

    def add(self, token: int) -> str:
        """The text that is whole with this token and was not before; often none."""
        self._tokens.append(token)
        return self._give(self._decoded().rstrip(HALF))

    def end(self) -> str:
        """What is left, bytes that never became a character included."""
        return self._give(self._decoded())

    def _decoded(self) -> str:
        # All of it each time: a token's text depends on those before it, and an answer is short.
        text: str = self._tokenizer.decode(self._tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def _give(self, text: str) -> str:
        # Some decoders take characters back while the bytes after them are not whole; what was told stays told.
        if not text.startswith(self._text):
            return ""
        before = self._text
        self._text = text
        return text[len(before) :] if before.strip() else text.lstrip()


End = Literal["end token", "max_new_tokens", "context", "stopped"]


@dataclass(frozen=True)
class Answer:
    """An answer.

    Args:
        text: Without outer white space.
        prompt: The tokens that the model was shown.
        tokens: The tokens of the answer, without its end token.
        seconds: From the question to the last token.
        end: Why it ended: the model's end token, the limit of tokens, the model's context, or someone stopped it.
        left_out: So many of the oldest turns did not fit, and the model was not shown them.
    """

    text: str
    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    seconds: float
    end: End
    left_out: int

    @property
    def tokens_per_second(self) -> float:
        """Tokens of the answer by all the time it took, the reading of the prompt included."""
        return len(self.tokens) / self.seconds if self.seconds else 0.0

    def note(self) -> str:
        """How long it is, how fast it came, and why it ended where it did not end by itself."""
        cut = {
            "end token": "", "stopped": "; stopped", "max_new_tokens": "; cut by --max-new-tokens",
            "context": "; cut: the model takes no more tokens",
        }  # fmt: skip
        return f"{many(len(self.tokens), 'token')}, {self.tokens_per_second:.1f} a second{cut[self.end]}"


class Answering:
    """Iterate over it for the text, piece by piece; then `answer` is there.

    Args:
        model: A causal language model in evaluation mode.
        tokenizer: Its tokenizer.
        prompt: The tokens that it is shown.
        sampler: Chooses each token.
        most: The answer is cut after so many tokens.
        room: ... or after so many, since the model takes no more; none where it knows no limit.
        left_out: Turns that are not in the prompt.
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
        """The whole answer, once it has been given."""
        assert self._answer is not None, "it has not been given to its end"
        return self._answer

    @property
    def is_done(self) -> bool:
        """Whether the answer has been given."""
        return self._answer is not None

    @property
    def is_stopped(self) -> bool:
        """Whether somebody asked it to stop."""
        return self._stopped

    def stop(self) -> None:
        """End the answer after the token that is being computed."""
        self._stopped = True

    def __iter__(self) -> Iterator[str]:
        """The pieces; each is a few whole characters."""
        began = time.perf_counter()
        tokens: list[int] = []
        end: End = self._cut
        ids, cache = list(self._prompt), None
        while len(tokens) < self._limit:
            logits, cache = self._read(ids, cache)
            if self._stopped:
                end = "stopped"
                break
            token = self._sampler.choose(logits)
            if token in self._ends:
                end = "end token"
                break
            tokens.append(token)
            ids = [token]  # the rest is in the cache
            piece = self._pieces.add(token)
            if piece:
                yield piece
        rest = self._pieces.end()
        if rest:
            yield rest
        seconds = time.perf_counter() - began
        self._answer = Answer(self._pieces.text, self._prompt, tuple(tokens), seconds, end, self._left_out)

    @torch.no_grad()  # on each call: around a yield it would hold for whoever iterates, too
    def _read(self, ids: list[int], cache: Any) -> tuple[torch.Tensor, Any]:
        """What comes next after these tokens, (vocabulary,), and the cache with them in it."""
        given = torch.tensor([ids], device=device_of(self._model))
        output = self._model(input_ids=given, past_key_values=cache, use_cache=True)
        return output.logits[0, -1], output.past_key_values
