"""The faults that cost users of other programs their work, and the tests that hold each of them off."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FAULTS = {
    1: (
        "A missing or renamed key on load only warns, and the adapter does nothing.",
        [
            "adapter/test_files.py::test_a_file_that_does_not_fit_is_refused_on_every_path",
            "adapter/test_files.py::test_a_failed_load_leaves_the_base_model_as_it_was",
        ],
    ),
    2: (
        "Structure is rebuilt from a random state, and the zero start hides it.",
        [
            "adapter/test_method.py::test_a_fresh_process_with_another_seed_gives_equal_outputs",
            "adapter/test_method.py::test_saved_and_loaded_under_another_name_in_a_model_of_another_seed",
        ],
    ),
    3: (
        "Keys are prefixed by torch.compile.",
        [
            "faults/test_03_compiled.py::test_saved_compiled_and_loaded_uncompiled",
            "faults/test_03_compiled.py::test_saved_uncompiled_and_loaded_on_a_compiled_model",
            "faults/test_03_compiled.py::test_with_the_real_compiler",
        ],
    ),
    4: (
        "Adapter names that contain each other are mixed up.",
        [
            "adapter/test_method.py::test_adapters_whose_names_contain_each_other",
            "faults/test_04_names.py::test_through_transformers_with_a_trained_head",
        ],
    ),
    5: (
        "modules_to_save are lost, or never trained.",
        [
            "adapter/test_method.py::test_modules_to_save_are_trained_and_come_back",
            "adapter/test_files.py::test_every_path_loads_the_adapter_and_the_trained_head",
            "adapter/test_files.py::test_a_trained_classifier_comes_back",
        ],
    ),
    6: (
        "Empty tensors are written, from sharded training.",
        [
            "faults/test_06_empty.py::test_a_sharded_model_is_not_saved",
            "adapter/test_files.py::test_a_file_that_does_not_fit_is_refused_on_every_path",
        ],
    ),
    7: (
        "A resume forgets optimizer, scheduler, random state or position in the data.",
        ["faults/test_07_resume.py::test_n_and_n_steps_equal_two_n"],
    ),
    8: (
        "A kill or a full disk during a save leaves a half checkpoint, or rotation has deleted the last whole one.",
        [
            "faults/test_08_saving.py::test_the_earlier_adapter_is_still_there",
            "faults/test_08_saving.py::test_a_first_save_that_is_killed_leaves_nothing_to_be_picked",
            "faults/test_08_saving.py::test_rotation_keeps_the_last_checkpoint_whole",
            "faults/test_08_saving.py::test_a_save_that_fails_deletes_no_earlier_checkpoint",
            "test_files.py::test_a_kill_between_the_renames_is_mended_by_the_next_write",
        ],
    ),
    9: (
        "Saving contacts a hub while offline.",
        ["faults/test_09_offline.py::test_saving_and_loading_without_a_network"],
    ),
    10: (
        "Gradient checkpointing cuts gradients; parameters are unused under data parallelism.",
        [
            "adapter/test_method.py::test_gradient_checkpointing_changes_nothing",
            "adapter/test_method.py::test_every_parameter_moves_and_the_loss_falls",
            "adapter/test_data_parallel.py::test_two_ranks_equal_one",
        ],
    ),
    11: (
        "No target tokens are reported as loss 0.",
        [
            "data/test_data_load.py::test_no_row_left_shows_one",
            "evaluation/test_loss.py::test_no_target_tokens_is_an_error",
        ],
    ),
    12: (
        "Accumulation changes the loss (we do not pack rows, so that none leaks into another).",
        [
            "training/test_loop.py::test_accumulation_equals_a_larger_batch",
            "adapter/test_prepared.py::test_accumulation_adds_up",
            "evaluation/test_loss.py::test_does_not_depend_on_batch_size_order_or_padding",
        ],
    ),
    13: (
        "A sequence longer than the limit is cut without a word.",
        [
            "data/test_tokens.py::test_long_rows_are_cut_or_dropped",
            "data/test_data_load.py::test_the_report_accounts_for_every_row",
        ],
    ),
    14: (
        "Generation is endless because the end token was masked as padding.",
        [
            "faults/test_14_end.py::test_a_model_that_pads_with_its_end_token_learns_to_end",
            "data/test_batches.py::test_padding_is_on_the_right_and_masked_by_length_not_by_token",
        ],
    ),
    15: (
        "Old adapters stop loading.",
        ["adapter/test_frozen.py::test_a_frozen_adapter_gives_its_output"],
    ),
}


def test_every_fault_is_listed():
    assert list(FAULTS) == list(range(1, 16))
    assert all(tests for _, tests in FAULTS.values())


@pytest.mark.parametrize("test", sorted({test for _, tests in FAULTS.values() for test in tests}))
def test_the_tests_exist(test):
    file, _, name = test.partition("::")
    tree = ast.parse((ROOT / file).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
