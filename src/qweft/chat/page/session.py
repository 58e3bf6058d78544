"""The conversation that a page shows, and its settings: one for the program, whoever looks."""

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
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
"""Fields of `ChatConfig` that the page changes from question to question, and what they are."""


def settings_of(config: ChatConfig) -> dict[str, Any]:
    """The fields that the page shows."""
    return {name: getattr(config, name) for name in SETTINGS}


def with_settings(config: ChatConfig, given: Mapping[str, Any]) -> ChatConfig:
    """The config with what the page's fields say, checked.

    Args:
        config: As the command was given it.
        given: Names of `SETTINGS` and their values; an empty field is null.

    Raises:
        QweftError: If a field is unknown, no number, or a number that cannot be.
    """
    changes = {}
    for name, value in given.items():
        if name not in SETTINGS:
            raise QweftError(f"there is no setting {name}; there are {', '.join(SETTINGS)}")
        wanted = SETTINGS[name]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or (wanted is int and value != int(value)):
            what = "a whole number" if wanted is int else "a number"
            raise QweftError(f"{name.replace('_', ' ')}: expected {what}, got {'nothing' if value is None else value}")
        changes[name] = wanted(value)
    changed: ChatConfig = replace(config, **changes)
    changed.check()
    return changed


Event = dict[str, Any]
"""What a page is told while an answer is given: its `kind`, and what belongs to it."""

BUSY = "an answer is being given; wait for its end, or stop it"


class Session:
    """Questions in, events out; and what there is to see beside the conversation.

    Several threads may call: an answer is given in one of them, the others look, or stop it.

    Args:
        voices: Those that answer.
        config: How, where the page does not say otherwise.
    """

    def __init__(self, voices: ChatModels, config: ChatConfig):
        self._voices = voices
        self._config = config
        self._dialogue = Dialogue(config.system)
        self._circuits = [Circuits(voice.model, voices.tokenizer) for voice in voices.all]
        self._answering: list[Answering] = []
        self._turn = Lock()

    def state(self) -> dict[str, Any]:
        """Who answers, what was said, and how questions are answered."""
        dialogue = self._dialogue
        return {
            "voices": [
                {"name": name, "layers": circuits.layers}
                for name, circuits in zip(self._voices.names, self._circuits, strict=True)
            ],
            "origin": self._voices.origin,
            "system": dialogue.system,
            "turns": [{"question": turn.question, "answers": turn.answers} for turn in dialogue.turns],
            "settings": settings_of(self._config),
            "is_busy": self._turn.locked(),
        }

    def take(self, line: str, settings: Mapping[str, Any]) -> Iterator[Event]:
        """Answer a question, or do what a command says; what is wrong is an event, too.

        The events: `piece` (voice, text), `done` (voice, note), `said` (text: what the program has to say), `failed`
        (text). To be iterated to its end.

        Args:
            line: What was typed.
            settings: What the page's fields say.
        """
        try:
            with self._alone():
                yield from self._obeyed(line) if is_command(line) else self._answered(line.strip(), settings)
        except QweftError as error:
            yield {"kind": "failed", "text": f"{error}"}
        except Exception as error:  # the page must not wait for ever for the end of an answer
            traceback.print_exc()
            yield {"kind": "failed", "text": f"the program failed ({error}); its terminal says where"}

    def stop(self) -> None:
        """End the answers that are being given, each after the token that is being computed."""
        for answering in list(self._answering):
            answering.stop()

    def end(self, patience: float = 10.0) -> None:
        """Stop, wait for the end of the answer, and let no other begin.

        Args:
            patience: Seconds.
        """
        self.stop()
        self._turn.acquire(timeout=patience)

    def rows(self) -> str:
        """The conversation as `/save` writes it."""
        return self._dialogue.as_rows(self._voices.names)

    def drawing(self, voice: int, layer: str, width: int) -> dict[str, str]:
        """The circuit of a layer: an <svg> element, and its size in words.

        Args:
            voice: Number of the voice.
            layer: Name of the layer.
            width: Pixels that there are for it; a longer circuit goes on below.

        Raises:
            QweftError: If there is none.
        """
        circuit = self._circuits_of(voice).circuit_of(layer)
        sizes = ((circuit.qubits, "qubit"), (len(circuit.gates), "gate"), (circuit.parameters, "trained angle"))
        svg = circuit_svg(circuit, "drawing", fitting(circuit, width))
        # The page allows no style but that of its own file, which has the boxes' colour.
        return {
            "svg": svg.replace(' style="fill: var(--page, white)"', ""),
            "size": ", ".join(many(*size) for size in sizes),
        }

    def expectations(self, voice: int, layer: str) -> list[dict[str, Any]]:
        """The last tokens of the last answer, each with what the layer's circuit gave for it.

        Raises:
            QweftError: If there is no such circuit, or its values belong to no token.
        """
        found = self._circuits_of(voice).expectations_of(layer)
        return [{"place": token.place, "text": token.text, "expectations": token.expectations} for token in found]

    def _circuits_of(self, voice: int) -> Circuits:
        if not 0 <= voice < len(self._circuits):
            raise QweftError(f"there is no voice {voice}; there are {len(self._circuits)}, counted from 0")
        return self._circuits[voice]

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
        after, said = obey(line, self._dialogue, self._voices.names)
        if after is None:
            said = "the page ends with its program: Ctrl-C in the terminal"
        else:
            self._dialogue = after
        yield {"kind": "said", "text": said}

    def _answered(self, question: str, settings: Mapping[str, Any]) -> Iterator[Event]:
        if not question:
            raise QweftError("nothing was asked")
        asked = self._voices.ask(self._dialogue, question, with_settings(self._config, settings))
        self._answering = asked
        for voice, (name, answering) in enumerate(zip(self._voices.names, asked, strict=True)):
            with self._circuits[voice].noted():
                for piece in answering:
                    yield {"kind": "piece", "voice": voice, "text": piece}
            yield {"kind": "done", "voice": voice, "note": answering.answer.note()}
            for sentence in notes(name, answering):
                yield {"kind": "said", "text": sentence}
        self._dialogue = self._dialogue.and_then(question, [each.answer.text for each in asked])
