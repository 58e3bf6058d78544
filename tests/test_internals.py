"""What of src/qweft reaches into private parts of other packages: every place is listed here, so a new one is seen."""

from collections import Counter

import pytest
from scripts.private_reach import Reach, all_reaches

INTERNALS = {
    "internals/torch.py": {
        "_version": 1,
        "_is_replica": 1,
        "_C._current_graph_task_id": 1,
        "_C._are_functorch_transforms_active": 1,
        "_C._functorch": 1,
        "_C._DisableFuncTorch": 1,
        "_C._ForceDispatchKeyGuard": 1,
        "_C._dispatch_tls_local_include_set": 1,
        "_C._dispatch_tls_local_exclude_set": 1,
        "_C": 1,
        "_current_level": 1,
        "_parameters": 1,
        "_buffers": 1,
    },
    "internals/keys.py": {"_orig_mod": 1, "_fsdp_wrapped_module": 1, "_compiled_call_impl": 1},
    "internals/peft.py": {
        "_get_in_out_features": 1,
        "_member_names_": 1,
        "_member_map_": 1,
        "_value2member_map_": 1,
        "_hashable_values_": 1,
        "PeftType.*": 1,
        "PeftModel.load_adapter": 1,
        "PeftModel.save_pretrained": 1,
        "PeftAdapterMixin.load_adapter": 1,
        "_hf_peft_config_loaded": 1,
    },
    "internals/providers.py": {
        "_config": 1,
        "_instance": 1,
        "_unused_fields": 1,
        "constants.HF_HUB_OFFLINE": 2,
        "datasets.config.HF_HUB_OFFLINE": 2,
    },
}
HOOKS = {
    "adapter/model.py": {
        "_create_and_replace": 1,
        "_replace_module": 1,
        "_cast_adapter_dtype": 1,
        "_enable_peft_forward_hooks": 1,
        "_get_adapter_state_dict": 1,
        "_get_learnable_bias_state_dict": 1,
        "_remove_adapter_name_from_key": 1,
        "_remap_adapter_state_dict_for_load": 1,
    },
    "adapter/layer.py": {"_move_adapter_to_device_of_base_layer": 1},
}
"""What PEFT's `BaseTuner` calls on its subclasses, and what every layer of PEFT calls; there is no other way in."""
IN_CLI = {"_split_lines", "_actions", "_action_groups", "_group_actions"}
"""argparse's, for the layout of the help: once each, in any file of cli/."""


@pytest.fixture(scope="module")
def found() -> list[Reach]:
    return all_reaches()


ALLOWED = {**INTERNALS, **HOOKS}


def test_every_reach_into_private_parts_is_on_the_list(found):
    new, in_cli = [], Counter(reach.name for reach in found if reach.file.startswith("cli/"))
    for (file, name), count in Counter((reach.file, reach.name) for reach in found).items():
        of_argparse = file.startswith("cli/") and name in IN_CLI and in_cli[name] == 1
        if count > ALLOWED.get(file, {}).get(name, 0) and not of_argparse:
            lines = ", ".join(str(reach.line) for reach in found if (reach.file, reach.name) == (file, name))
            new.append(f"src/qweft/{file}, line {lines}, reaches for {name}")
    assert not new, (
        f"{'; '.join(new)}: use a public function instead; where there is none, put the reach behind a function in "
        "src/qweft/internals/ that says why, and add it to INTERNALS in tests/test_internals.py"
    )


def test_nothing_stays_on_the_list_that_is_gone(found):
    there = Counter((reach.file, reach.name) for reach in found)
    gone = [
        f"{file}: {name}"
        for file, names in ALLOWED.items()
        for name, count in names.items()
        if there[file, name] < count
    ]
    assert not gone, f"these reaches are gone, take them off the list in tests/test_internals.py: {', '.join(gone)}"
