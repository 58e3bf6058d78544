"""How methods ship: beside each in the table, as a wish before the runs, and among equals."""

import pytest

from qweft.comparison.config import ComparisonConfig, MethodConfig
from qweft.comparison.judge.summarise import summarise
from qweft.comparison.report.decision import recommend
from qweft.comparison.report.table import COLUMNS
from qweft.comparison.search.starter import that_ship
from qweft.core.errors import QweftError
from tests.comparison.comparison_examples import run

ADAPTERS = {
    "lora": {"peft_type": "LORA"},
    "qtha": {"preset": "qtha"},
    "loha": {"peft_type": "LOHA"},
    "ia3": {"peft_type": "IA3"},
    "prompt": {"peft_type": "PROMPT_TUNING"},
}


def config(must_ship, **more):
    methods = {name: MethodConfig(adapter) for name, adapter in ADAPTERS.items()}
    return ComparisonConfig(methods, must_ship=must_ship, **more)


@pytest.mark.parametrize(
    ("must_ship", "left_out"), [(None, []), ("lora", ["ia3", "prompt"]), ("merged", ["prompt"]), ("gguf", ["prompt"])]
)
def test_what_does_not_ship_is_left_out(must_ship, left_out):
    said = []
    assert list(that_ship(config(must_ship), said.append).methods) == [
        name for name in ADAPTERS if name not in left_out
    ]
    assert len(said) == len(left_out) and all(name in line for name, line in zip(left_out, said, strict=True))
    if left_out:
        with pytest.raises(QweftError, match="reference prompt"):
            that_ship(config(must_ship, reference="prompt"), print)


def test_among_equals_one_that_ships_is_recommended_and_the_table_says_how():
    losses = {"lora": [1.0, 1.001, 1.002], "prompt": [1.0005, 1.001, 1.0015], "ia3": [1.0, 1.001, 1.002]}
    sizes = {"lora": 1000, "prompt": 10, "ia3": 500}
    made = [
        run(name, seed, loss, adapter=ADAPTERS[name], trainable_parameters=sizes[name])
        for name, row in losses.items()
        for seed, loss in enumerate(row)
    ]
    summary = summarise(made, "lora", 1.0, is_strict=True)
    ways = {name: COLUMNS["ships as"](entry) for name, entry in summary.items()}
    assert ways == {"lora": "LoRA file", "prompt": "Python only", "ia3": "merged only"}
    found = recommend(summary)
    assert found.method == "ia3" and "It ships merged only." in found.text
