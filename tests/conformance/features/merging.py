"""What merging means: a weight where the branch is linear, a sentence where it depends on its input."""

from pathlib import Path

import pytest
import torch

from tests.conformance.case import Case, Refused
from tests.conformance.features.registry import feature

NO_WEIGHT = "the circuit depends on its input, so no weight equals the branch; `qweft export` fits a LoRA to it"


@feature("`merge_and_unload`")
def merge_and_unload(case: Case, folder: Path) -> Refused | None:
    model = case.adapted()
    before = case.output(model)
    if case.has_circuit:
        with pytest.raises(NotImplementedError, match="qweft export"):
            model.merge_and_unload()
        assert torch.equal(case.output(model), before)
        return Refused(NO_WEIGHT)
    torch.testing.assert_close(case.output(model.merge_and_unload()), before, rtol=1e-4, atol=1e-5)
    return None
