"""A conversation with one or two models, and its commands."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import LogitsProcessorList, TextStreamer

from qweft.adapter.attach import base_of
from qweft.core.errors import QweftError, StoppedError
from qweft.core.files import named_path, write_bytes
from qweft.core.text import json_text, many, strip_controls
from qweft.evaluation.loss import device_of
from qweft.serve.config import ChatConfig
from qweft.serve.models import Drawn, Voices

End = Literal["end token", "max_new_tokens", "context", "stopped"]
ENDED = {
    "end token": "",
    "stopped": "; stopped",
    "max_new_tokens": "; cut by --max-new-tokens",
    "context": "; cut: the model takes no more tokens",
}
Show = Callable[[str], None]
"""Takes the next piece of an answer's text."""


@dataclass(frozen=True)
class Answer:
    """A complete answer."""

    text: str = ""  # without white space around it
    tokens: int = 0  # without its end token
    seconds: float = 0.0  # from the start of the generation to the last token
    end: End = "stopped"  # why it ended
    left_out: int = 0  # number of the oldest turns that did not fit into the prompt

    @property
    def tokens_per_second(self) -> float:
        """Tokens of the answer per second, including the time to process the prompt."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the fields and the speed."""
        return {**vars(self), "tokens_per_second": self.tokens_per_second}

    def note(self) -> str:
        """Return the length and speed of the answer, and why it ended if not by its end token."""
        return f"{many(self.tokens, 'token')}, {self.tokens_per_second:.1f} a second{ENDED[self.end]}"


class Pieces(TextStreamer):
    """Shows the text of an answer word by word, and keeps its tokens."""

    def __init__(self, tokenizer: Any, ends: Sequence[int], show: Show) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        self._ends, self._show = ends, show
        self.tokens: list[int] = []
        self.has_ended = self._has_begun = False

    def put(self, value: torch.Tensor) -> None:
        """Take the prompt, and then the next token."""
        if value.dim() == 1:
            self.has_ended = value.item() in self._ends
            self.tokens += [] if self.has_ended else value.tolist()
        if not self.has_ended:
            super().put(value)

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Show text that no further token changes; an answer begins with its first word."""
        text = text if self._has_begun else text.lstrip()
        if text:
            self._has_begun = True
            self._show(text)

    @property
    def text(self) -> str:
        """The text so far, without white space around it."""
        return str(self.tokenizer.decode(self.tokens, **self.decode_kwargs)).strip()


COMMANDS = {
    "/reset": "forget what was said; the system message stays",
    "/system TEXT": "begin anew with a system message; without TEXT take it away",
    "/save FILE": "write the conversation to FILE, which ends in .jsonl: a row for each voice",
    "/help": "show this",
    "/quit": "end, as Ctrl-D does",
}
HELP = "\n".join(f"{name:<14}{text}" for name, text in COMMANDS.items()) + (
    "\nCtrl-C ends the answers that are being given.\n"
    "A line that begins with a space is a question, whatever comes after it."
)


class Chat:
    """A conversation with all models, each of which sees its own answers; `asked` outlives a reset."""

    def __init__(self, voices: Voices, config: ChatConfig) -> None:
        self.voices, self.config, self.system = voices, config, config.system
        self.names = list(voices.models)
        self.turns: list[tuple[str, list[str]]] = []
        self.asked = 0

    def messages(self, name: str, left_out: int = 0) -> list[dict[str, str]]:
        """Return the conversation as a model sees it."""
        number = self.names.index(name)
        return self._messages([(question, answers[number]) for question, answers in self.turns[left_out:]])

    def _messages(self, turns: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
        """Return the system message, and questions with their answers."""
        said = [] if self.system is None else [("system", self.system)]
        for question, answer in turns:
            said += [("user", question), ("assistant", answer)]
        return [{"role": role, "content": content} for role, content in said]

    def take(self, question: str, answers: Sequence[Answer]) -> None:
        """Add a turn; one with empty answers alone is counted but not added."""
        self.asked += 1
        if any(answer.text for answer in answers):
            self.turns.append((question, [answer.text for answer in answers]))

    def answer(self, name: str, question: str, show: Show, may_stop: bool = False) -> Answer:
        """Generate a model's answer; with `may_stop` Ctrl-C ends it, and not the program.

        All models use the same random numbers, so answers differ only because of the weights.

        Raises:
            QweftError: If the question alone exceeds the model's context, or the chat template rejects it.
        """
        model, tokenizer = self.voices.models[name]
        prompt, left_out = self.prompt(name, question)
        room, wanted = self.voices.context - prompt.input_ids.shape[1], self.config.max_new_tokens
        settings = copy.deepcopy(base_of(model).generation_config)
        settings.max_new_tokens, settings.do_sample = min(room, wanted), self.config.temperature > 0
        if settings.do_sample:
            settings.temperature, settings.top_p = self.config.temperature, self.config.top_p
        pieces = Pieces(tokenizer, settings.eos_token_id or (), show)
        began, end = time.perf_counter(), None
        try:
            drawn = LogitsProcessorList([Drawn(self.config.seed + self.asked)])
            given = prompt.to(device_of(model))
            model.generate(**given, generation_config=settings, logits_processor=drawn, streamer=pieces)
        except KeyboardInterrupt as stop:
            if not may_stop or isinstance(stop, StoppedError):
                raise
            end = "stopped"
        seconds = time.perf_counter() - began
        cut = "max_new_tokens" if wanted <= room else "context"
        reason: Any = end or ("end token" if pieces.has_ended else cut)
        return Answer(pieces.text, len(pieces.tokens), seconds, reason, left_out)

    def prompt(self, name: str, question: str) -> tuple[Any, int]:
        """Return the tokens of a model's prompt, and how many of the oldest turns were left out of it."""
        _, tokenizer = self.voices.models[name]
        context = self.voices.context
        # reserves room for the answer, but at most half of the context, so that the conversation still fits
        most = context - min(self.config.max_new_tokens, context // 2)
        for left_out in range(len(self.turns) + 1):
            messages = [*self.messages(name, left_out), {"role": "user", "content": question}]
            prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")
            length = prompt.input_ids.shape[1]
            if length <= most:
                break
        if length >= context:
            raise QweftError(
                f"the question has {many(length, 'token')}, and the model takes {context:,}; ask a shorter one"
            )
        return prompt, left_out

    def rows(self) -> str:
        """Return a row of messages for each model, as training reads them: no empty answers, thoughts opened."""
        rows = []
        for number, name in enumerate(self.names):
            turns = []
            for question, answers in self.turns:
                answer = answers[number]
                is_open = "</think>" in answer and "<think>" not in answer
                turns += [(question, f"<think>\n{answer}" if is_open else answer)] if answer else []
            if turns:
                rows.append(json_text({"messages": self._messages(turns), "answered_by": name}) + "\n")
        return "".join(rows)

    def obey(self, line: str) -> str | None:
        """Execute a command; return what is to be said, or `None` to end the chat."""
        name, _, rest = line.strip().partition(" ")
        rest, forgotten = rest.strip(), many(len(self.turns), "turn")
        if name in ("/quit", "/exit"):
            return None
        if name == "/help":
            return HELP
        if name == "/reset":
            self.turns = []
            return f"{forgotten} forgotten"
        if name == "/system":
            message = f"system message: {rest}" if rest else "no system message"
            if self.turns and (rest or None) != self.system:
                message += f"; a new conversation begins, {forgotten} forgotten"
                self.turns = []
            self.system = rest or None
            return message
        if name == "/save":
            self.save(rest)
            return f"saved: {rest}, {forgotten}"
        known = ", ".join(command.partition(" ")[0] for command in COMMANDS)
        raise QweftError(f"there is no {name}; there are {known}; begin a question that starts with / with a space")

    def save(self, file: str) -> None:
        """Write the conversation to a new file."""
        if not file.endswith(".jsonl"):
            raise QweftError(
                f"/save: expected the name of a file that ends in .jsonl after it, got {file or 'nothing'}"
            )
        if not self.turns:
            raise QweftError("/save: nothing was said yet")
        path = named_path(file)
        if path.exists():
            raise QweftError(f"/save {strip_controls(file)}: it exists; name another file")
        try:
            write_bytes(path, self.rows().encode())
        except OSError as error:
            raise QweftError(
                f"/save {strip_controls(file)}: it cannot be written ({error}); name another file"
            ) from error
