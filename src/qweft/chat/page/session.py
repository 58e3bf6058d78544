"""The conversation and settings of the page, shared by all its windows."""

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from qweft.chat.answering import Answering
from qweft.chat.chat_models import ChatModels
from qweft.chat.circuits import Circuits
from qweft.chat.config import ChatConfig
from qweft.chat.dialogue import Dialogue, is_command, obey
from qweft.chat.screens import notes
from qweft.circuit.drawing import circuit_svg, fitting
from qweft.errors import QweftError
from qweft.text import many

SETTINGS: dict[str, type] = {"max_new_tokens": int, "temperature": float, "top_p": float, "seed": int}
"""Fields of `ChatConfig` that the page can change for each question, with their types."""


MOST = 2**53
"""Largest setting; JSON of a browser holds no larger whole number exactly."""


def settings_of(config: ChatConfig) -> dict[str, Any]:
    """Returns the values of the fields in `SETTINGS`."""
    return {name: getattr(config, name) for name in SETTINGS}


def with_settings(config: ChatConfig, given: Mapping[str, Any]) -> ChatConfig:
    """Returns the config with checked settings from the page.

    Args:
        config: Options of the command.
        given: Values by name in `SETTINGS`; an empty field is `None`.

    Raises:
        QweftError: If a name is unknown, or a value is not a number, not whole where required, or out of range.
    """
    changes = {}
    for name, value in given.items():
        if name not in SETTINGS:
            raise QweftError(f"there is no setting {name}; there are {', '.join(SETTINGS)}")
        wanted = SETTINGS[name]
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST
        if not is_number or (wanted is int and value != int(value)):
            what = "a whole number" if wanted is int else "a number"
            is_short = isinstance(value, str | int | float)
            got = "nothing" if value is None else str(value)[:40] if is_short else type(value).__name__
            raise QweftError(f"{name.replace('_', ' ')}: expected {what}, got {got}")
        changes[name] = wanted(value)
    changed: ChatConfig = replace(config, **changes)
    try:
        changed.check()
    except QweftError as error:  # it names the command's option, which the page does not have
        option, _, rest = str(error).partition(" ")
        raise QweftError(f"{option.removeprefix('--').replace('-', ' ')} {rest}") from error
    return changed


Event = dict[str, Any]
"""A message to the page: its `kind`, and the fields of that kind."""

BUSY = "an answer is being given; wait for its end, or stop it"


class Session:
    """The state of the page: conversation, settings and circuits.

    It is thread-safe: one thread generates an answer while others read the state or stop the answer.

    Args:
        chat_models: The chat models.
        config: Options of the generation, which the page can override.
    """

    def __init__(self, chat_models: ChatModels, config: ChatConfig):
        self._chat_models = chat_models
        self._config = config
        self._dialogue = Dialogue(config.system)
        self._circuits = [Circuits(chat_model.model, chat_models.tokenizer) for chat_model in chat_models.all]
        self._answering: list[Answering] = []
        self._turn = Lock()

    def state(self) -> dict[str, Any]:
        """Returns chat models, conversation and settings as JSON-compatible values."""
        dialogue = self._dialogue
        return {
            "voices": [
                {"name": name, "layers": circuits.layers}
                for name, circuits in zip(self._chat_models.names, self._circuits, strict=True)
            ],
            "origin": self._chat_models.origin,
            "system": dialogue.system,
            "turns": [{"question": turn.question, "answers": turn.answers} for turn in dialogue.turns],
            "settings": settings_of(self._config),
            "is_busy": self._turn.locked(),
        }

    def take(self, line: str, settings: Mapping[str, Any]) -> Iterator[Event]:
        """Answers a question or executes a command; errors are events too.

        The events are `piece` (voice, text), `done` (voice, note), `said` (text, a message of the program) and `failed`
        (text), where voice is the index of the chat model. The caller must iterate to the end.

        Args:
            line: The typed line.
            settings: Settings from the page; see `with_settings`.
        """
        try:
            with self._alone():
                yield from self._obeyed(line) if is_command(line) else self._answered(line.strip(), settings)
        except QweftError as error:
            yield {"kind": "failed", "text": f"{error}"}
        except Exception as error:  # otherwise the page would wait forever for the end of the answer
            traceback.print_exc()
            yield {"kind": "failed", "text": f"the program failed ({error}); its terminal says where"}

    def stop(self) -> None:
        """Ends the current answers, each after the token that is being computed."""
        for answering in list(self._answering):
            answering.stop()

    def end(self, patience: float = 10.0) -> None:
        """Stops the current answers, waits for their end, and prevents new ones.

        Args:
            patience: Maximum waiting time in seconds.
        """
        self.stop()
        self._turn.acquire(timeout=patience)

    def rows(self) -> str:
        """Returns the conversation in the format of `/save`."""
        return self._dialogue.as_rows(self._chat_models.names)

    def drawing(self, number: int, layer: str, width: int) -> dict[str, str]:
        """Returns the drawing of a layer's circuit: `svg`, an <svg> element, and `size`, a description of its size.

        Args:
            number: Index of the chat model.
            layer: Name of the layer.
            width: Available width in pixels; a longer circuit wraps.

        Raises:
            QweftError: If there is no such chat model, or no layer of this name has a circuit.
        """
        circuit = self._circuits_of(number).circuit_of(layer)
        sizes = ((circuit.qubits, "qubit"), (len(circuit.gates), "gate"), (circuit.parameters, "trained angle"))
        svg = circuit_svg(circuit, "drawing", fitting(circuit, width))
        # the page's security policy forbids inline styles; page.css has the boxes' colour
        return {
            "svg": svg.replace(' style="fill: var(--page, white)"', ""),
            "size": ", ".join(many(*size) for size in sizes),
        }

    def expectations(self, number: int, layer: str) -> list[dict[str, Any]]:
        """Returns place, text and expectation values of a layer's circuit for the latest tokens.

        Args:
            number: Index of the chat model.
            layer: Name of the layer.

        Raises:
            QweftError: If there is no such chat model or circuit, or the layer does not process each token exactly
                once.
        """
        found = self._circuits_of(number).expectations_of(layer)
        return [{"place": token.place, "text": token.text, "expectations": token.expectations} for token in found]

    def _circuits_of(self, number: int) -> Circuits:
        if not 0 <= number < len(self._circuits):
            raise QweftError(f"there is no voice {number}; there are {len(self._circuits)}, counted from 0")
        return self._circuits[number]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._turn.acquire(blocking=False):
            raise QweftError(BUSY)
        try:
            yield
        finally:
            self._answering = []
            self._turn.release()

    def _obeyed(self, line: str) -> Iterator[Event]:
        after, said = obey(line, self._dialogue, self._chat_models.names, Path())
        if after is None:
            said = "the page ends with its program: Ctrl-C in the terminal"
        else:
            self._dialogue = after
        yield {"kind": "said", "text": said}

    def _answered(self, question: str, settings: Mapping[str, Any]) -> Iterator[Event]:
        if not question:
            raise QweftError("nothing was asked")
        asked = self._chat_models.ask(self._dialogue, question, with_settings(self._config, settings))
        self._answering = asked
        for number, (name, answering) in enumerate(zip(self._chat_models.names, asked, strict=True)):
            with self._circuits[number].noted():
                for piece in answering:
                    yield {"kind": "piece", "voice": number, "text": piece}
            yield {"kind": "done", "voice": number, "note": answering.answer.note()}
            for sentence in notes(name, answering):
                yield {"kind": "said", "text": sentence}
        self._dialogue = self._dialogue.and_then(question, [each.answer.text for each in asked])
