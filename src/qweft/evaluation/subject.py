"""A trained adapter on its base model, beside the held-out rows that it is judged on."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qweft.claims import State, check_state, state_of
from qweft.data.config import DataConfig
from qweft.data.load import Data, load_data
from qweft.data.tokens import Encoded
from qweft.evaluation.checks import check_evaluation
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.loss import check_room
from qweft.evaluation.saved import base_model, changed, put_on, weights_of
from qweft.evaluation.unseen import check_unseen
from qweft.models.config import ModelConfig
from qweft.models.load import LoadedModel, load_model


@dataclass(frozen=True)
class Subject:
    """An adapter on its base model, and rows that it did not see."""

    adapter: Path
    model: Any
    loaded: LoadedModel
    data: Data
    judging: EvaluationConfig
    config: ModelConfig
    is_changed: bool
    state: State

    @property
    def rows(self) -> list[Encoded]:
        """The rows to judge on."""
        return self.data.held_out(self.judging.split)

    @property
    def dtype(self) -> str:
        """Type of the base model's weights."""
        return str(self.loaded.dtype).removeprefix("torch.")

    def base(self) -> AbstractContextManager[Any]:
        """Yield the base model without the adapter inside a `with` block."""
        return base_model(self.is_changed, self.model, self.config)

    def check_same(self) -> None:
        """Raise if another command has replaced the adapter since it was loaded."""
        check_state(self.adapter, self.state)


def held_out_data(
    adapter: Path, overrides: Mapping[str, Any], config: DataConfig, loaded: LoadedModel, split: str
) -> Data:
    """Load the rows to judge an adapter on, which it did not see and its base model has room for."""
    # with one training row the others stay unread
    data = load_data(config if config.sources is not None else replace(config, train_rows=1), loaded.tokenizer)
    check_unseen(adapter, overrides, data, split, loaded.tokenizer)
    check_room(loaded.model, data.held_out(split))
    return data


def load_subject(
    adapter: Path,
    overrides: Mapping[str, Any],
    config: ModelConfig,
    data_config: DataConfig,
    judging: EvaluationConfig,
) -> Subject:
    """Load an adapter's base model and held-out rows, check that it did not see them, and put it on the model."""
    state = state_of(adapter)
    loaded = load_model(config)
    data = held_out_data(adapter, overrides, data_config, loaded, judging.split)
    check_evaluation(judging, data.config)  # again, as the number of rows may be known only now
    before = weights_of(loaded.model, adapter)
    model = put_on(loaded, adapter)
    subject = Subject(adapter, model, loaded, data, judging, config, changed(before, model), state)
    subject.check_same()
    return subject
