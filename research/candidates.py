"""The candidates: what each is, and what was expected of it before it was tried."""

from functools import partial

import torch

from research.builders import (
    ALL,
    ATTENTION,
    BEST,
    Candidate,
    basis,
    gated,
    half,
    lora,
    network,
    one_network,
    preset,
    reads,
    recorded,
    shared,
    started,
    subspace,
    summed,
    written,
)
from research.changes import (
    activation_directions,
    beside,
    diagonal,
    graded,
    inner,
    low_rank,
    reading_pairs,
    shared_maps,
    small_angles,
    step,
)
from research.circuits import (
    ArctanCore,
    OtherCircuitCore,
    ScaledCore,
    instead,
    weighted_bonds,
    without_circuit,
)
from research.maps import (
    even_tokens,
    fixed_reads,
    hats,
    joint,
    layered,
    random_reads,
    read_once,
    sparse_writes,
    steps,
    tied,
    without_leading_inputs,
)
from research.networks import lorta, metatt, own_middles, with_axes
from research.writes import both, graded_writes, rotated_writes, scaled_writes, through_base

CANDIDATES = {
    "written_4": written("better than readout at its size: all layers, and less noise in what is written", 4),
    "tied_written_3": Candidate(
        {"preset": "lora", "expand": "subspace", "r": 3, "width": 64, "target_modules": ALL},
        "better than written_4: what reads is trained, and costs little",
        (8e-3, 1.6e-2),
        tied,
    ),
    "subspace_2_256_rows": preset("better than subspace_2 by 0.02, with less spread", 2, 64, rows=256),
    "subspace_2_even_tokens": preset("better: no token has the directions to itself", 2, 64, even_tokens),
    "lora_1_sixth": Candidate(
        {"peft_type": "LORA", "r": 1, "target_modules": ALL, "layers_to_transform": [2, 7, 12, 17, 22, 27]},
        "what is to be beaten: all linear layers of every fifth block",
        (8e-3, 1.6e-2),
    ),
    "layered_6_hats": network("better than layered_6: neighbours want alike", layered(6, hats)),
    "layered_6_steps": network("as layered_6_hats", layered(6, steps)),
    "only_writes_1": Candidate(
        {"preset": "lora", "expand": "subspace", "r": 1, "width": 64, "target_modules": ALL},
        "to see which side's directions cost: as lora_1_all if it is not what is written",
        (8e-3, 1.6e-2),
    ),
    "only_reads_1": reads("to see which side's directions cost", 64, ALL),
    "tied_hats_10": network("better than layered_6_hats: what reads may be common", layered(10, hats, 1)),
    "tied_third": network("as tied_hats_10", layered(0, None, 1), layers_to_transform=list(range(1, 30, 3))),
    "reads_third": network(
        "better than tied_third", None, compress="subspace", width=64, layers_to_transform=list(range(1, 30, 3))
    ),
    "reads_hats_8": network("better than tied_hats_10", layered(8, hats, 0), compress="subspace", width=64),
    "only_reads_16": reads("as only_reads_1 with a quarter of the directions", 16, ALL),
    "only_reads_1_8_rows": reads("as only_reads_1: reading is easy", 64, ALL, 8),
    "sparse_writes": reads(
        "better than all of its size: writes want their own coordinates", 32, ALL, 64, sparse_writes(0.32)
    ),
    "chosen_writes": reads(
        "better than sparse_writes: the rows that descend most, in whatever layer",
        32,
        ALL,
        64,
        sparse_writes(0.32, True),
    ),
    "drawn_writes": reads("worse than sparse_writes by 0.02", 32, ALL, 64, sparse_writes(0.32, by_chance=True)),
    "sparse": Candidate({"preset": "sparse", "target_modules": ALL}, "sparse_writes, as the preset", (8e-3, 1.6e-2)),
    "sparse_2": Candidate(
        {"preset": "sparse", "r": 2, "share": 0.14, "target_modules": ALL}, "as sparse", (8e-3, 1.6e-2)
    ),
    "sparse_wide": Candidate(
        {"preset": "sparse", "width": 64, "share": 0.6, "target_modules": ALL},
        "better by 0.02 for twice the size",
        (8e-3, 1.6e-2),
    ),
    "sparse_both": reads(
        "a little worse than sparse_writes, with a small file", 32, ALL, 64, sparse_writes(0.32, reads=32)
    ),
    "sparse_writes_8_rows": reads("as sparse_writes", 32, ALL, 8, sparse_writes(0.32)),
    "sparse_writes_no_q": reads(
        "better than sparse_writes: what q_proj learns does harm",
        32,
        [m for m in ALL if m != "q_proj"],
        64,
        sparse_writes(0.36),
    ),
    "only_reads_32": reads("between only_reads_1 and only_reads_16", 32, ALL),
    "only_reads_four": reads("as sparse_writes, in fewer layers", 64, ["k_proj", "v_proj", "o_proj", "down_proj"]),
    "through_base": reads("better: it writes what the layer can write, less noise", 32, ALL, 64, through_base(ALL)),
    "through_base_five": reads(
        "better than through_base: o and down have their own outputs",
        32,
        ALL,
        64,
        through_base(["q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"]),
    ),
    "scaled_writes_half": reads("better than only_reads_32 by 0.01: less noise", 32, ALL, 64, scaled_writes(0.5)),
    "scaled_writes": reads("as scaled_writes_half", 32, ALL, 64, scaled_writes(1)),
    "rotated_writes": reads("to see what AdamW's own coordinates are worth", 32, ALL, 64, rotated_writes),
    "graded_writes_half": reads("better than sparse_writes by 0.01", 32, ALL, 64, graded_writes(0.32, 0.5)),
    "graded_writes": reads("as graded_writes_half", 32, ALL, 64, graded_writes(0.32, 1)),
    "louder_layers": reads(
        "better: layers with a large gradient learn faster", 32, ALL, 64, graded_writes(0.32, 0, 0.25)
    ),
    "quieter_layers": reads("worse", 32, ALL, 64, graded_writes(0.32, 0, -0.25)),
    "drawn_both": reads(
        "worse by 0.02, and needs no search", 32, ALL, 64, both(random_reads, sparse_writes(0.32, by_chance=True))
    ),
    "tied_drawn": network("as sparse without its search", both(tied, sparse_writes(0.32, by_chance=True))),
    "tied_sparse": network("better than tied_drawn by 0.01", both(tied, sparse_writes(0.32))),
    "lora_1_head": lora(1, ["lm_head"], 5e-4, 2e-3, 8e-3),
    "lora_8_all": lora(8, ALL, 2e-3, 4e-3),
    "norms": Candidate(
        {"peft_type": "LN_TUNING", "target_modules": ["input_layernorm", "post_attention_layernorm", "norm"]},
        "worse than LoRA of rank 1",
        (8e-3, 1.6e-2),
    ),
    "lora_1_first_and_last": Candidate(
        {"peft_type": "LORA", "r": 1, "target_modules": ALL, "layers_to_transform": [0, 25, 26, 27, 28, 29]},
        "what is to be beaten: the blocks without which lora_1_all loses most",
        (8e-3, 1.6e-2),
    ),
    "only_reads_five": reads("better than tied_1_five", 64, [*BEST, "q_proj", "k_proj"]),
    "only_writes_1_far": network(
        "better than only_writes_1: its steps are as long as LoRA's", None, expand="subspace", width=64, alpha=6
    ),
    "layered_11": network("better than layered_6 by 0.02 for 1.8 times the size", layered(11)),
    "subspace_2": preset("subspace_all_2, as the preset", 2, 64),
    "subspace_1_128": preset("better by 0.01: more directions, smaller rank", 1, 128),
    "subspace_step": subspace("better by 0.02: a step along all directions at once", step(2), ALL, 64),
    "subspace_joint_kind": preset("worse by 0.03, a thirtieth of the file", 1, 128, joint),
    "subspace_1_256": preset("towards LoRA of rank 1 on all layers", 1, 256),
    "tied_1": Candidate(
        {"preset": "lora", "r": 1, "target_modules": BEST}, "as LoRA of rank 1 on down alone", (8e-3, 1.6e-2), tied
    ),
    "tied_1_five": Candidate(
        {"preset": "lora", "r": 1, "target_modules": [*BEST, "q_proj", "k_proj"]},
        "better than tied_1 by 0.02",
        (8e-3, 1.6e-2),
        tied,
    ),
    "layered_6": network("better than tied_1 by 0.02: all layers, as LoRA of rank 1 there", layered(6)),
    "read_random_in": network("as fixed_reads_1", read_once("random", 1, 0), BEST),
    "read_random_both": network("better than fixed_reads_1", read_once("random", 1, 1), BEST),
    "read_gradient_in": network("better than random: most of G is one direction", read_once("gradient", 1, 0), BEST),
    "read_random_rest": network("better: no lottery of constants", read_once("random", 1, 0, 1), BEST),
    "read_gradient_rest": network("better than random", read_once("gradient", 1, 0, 1), BEST),
    "read_random_rest_plain": network("better: no lottery of constants", read_once("random", 0, 0, 1, 0.577), BEST),
    "read_gradient_both": network("better still", read_once("gradient", 1, 1), BEST),
    "fixed_reads_o_down": network("a little worse than with v", fixed_reads, ["o_proj", "down_proj"]),
    "fixed_reads_five": network("better by 0.01", fixed_reads, ["q_proj", "k_proj", *BEST]),
    "fixed_reads_all": network("better by 0.02, as LoRA of rank 1 there", fixed_reads, ALL),
    "fixed_reads_2": network("better by 0.01 for twice the size", fixed_reads, BEST, 2),
    "fixed_reads_v4": Candidate(
        {
            "preset": "lora",
            "r": 1,
            "target_modules": BEST,
            "rank_pattern": {"v_proj": 4},
            "alpha_pattern": {"v_proj": 8},
        },
        "better by 0.01: the outputs of v are small",
        (8e-3, 1.6e-2),
        fixed_reads,
    ),
    "fixed_reads_1": Candidate(
        {"preset": "lora", "r": 1, "target_modules": BEST}, "a little worse than tied_1", (8e-3, 1.6e-2), fixed_reads
    ),
    "subspace_2_without_1": preset(
        "better by 0.02 and stable at higher rates: no constants", 2, 64, without_leading_inputs
    ),
    "lora_8": lora(8, ATTENTION, 3e-3, 6e-3, 1e-2),
    "lora_1": lora(1, ATTENTION, 6e-3, 1e-2, 2e-2),
    "lora_1_all": lora(1, ALL, 4e-3, 8e-3),
    "lora_1_best_layers": lora(1, BEST, 4e-3, 8e-3),
    "lora_1_down": lora(1, ["down_proj"], 8e-3, 1.6e-2),
    "qtha": recorded("as in docs/results.md: 0.05 behind LoRA of its size"),
    "scaled_circuit": recorded(
        "a little better than qtha: inputs are small, and scales can learn it", instead(ScaledCore)
    ),
    "fast_scales": recorded(
        "better than scaled_circuit by 0.01: scales have far to go", instead(ScaledCore), {"circuit": 10.0}
    ),
    "fast_network": recorded("a little better than qtha", None, {"tensor_network": 3.0}),
    "slow_network": recorded("a little worse than qtha", None, {"tensor_network": 0.3}),
    "decayed": recorded(
        "no change in 60 steps", None, {"circuit": 1.0}, dict.fromkeys(("circuit", "tensor_network", "linear"), 1.0)
    ),
    "decayed_angles": recorded("no change: the angles matter little", None, {"circuit": 1.0}, {"circuit": 10.0}),
    "decayed_network": recorded("a little worse", None, {"tensor_network": 1.0}, {"tensor_network": 1.0}),
    "constant_angles": recorded("no change: the angles matter little", None, {"circuit": 1.0}, None, ("circuit",)),
    "constant_network": recorded(
        "a little worse: the last steps are to be short", None, {"tensor_network": 1.0}, None, ("tensor_network",)
    ),
    "upload_once": recorded("no change", reupload=False),
    "upload_arctan": recorded("no change: the inputs are small", instead(ArctanCore)),
    "upload_products": recorded(
        "a little worse: products of small inputs are smaller", instead(partial(OtherCircuitCore, products=True))
    ),
    "pairs": recorded("a little better: ten numbers instead of four", instead(partial(OtherCircuitCore, pairs=True))),
    "weighted_bonds": recorded("as mpo: a gate from one on", weighted_bonds("quantum")),
    "weighted_bonds_mlp": recorded("as the circuit", weighted_bonds("mlp")),
    "without_circuit": recorded("as qtha: the circuit matters little", without_circuit),
    "metatt": one_network("better than qtha at its size, worse than LoRA of it", metatt, 24, ATTENTION),
    "metatt_all": one_network("better than metatt by 0.03: all layers", metatt, 11, ALL),
    "metatt_spaces": one_network(
        "better than metatt_all: what is read is not told by its size", with_axes(torch.eye, True), 7, ALL
    ),
    "metatt_slow_axes": Candidate(
        {"preset": "mpo", "compress": "dense", "expand": "dense", "r": 11, "target_modules": ALL},
        "a little better than metatt_all: axes start at one and have less far to go",
        (5e-3,),
        metatt,
        {"circuit": 0.3},
    ),
    "own_middles": one_network("as metatt_all", own_middles(False), 8, ALL),
    "own_middles_spaces": one_network("better than own_middles", own_middles(True), 6, ALL),
    "lorta_all": one_network("a little worse than metatt_all", lorta, 12, ALL),
    "summed": summed("as sparse: reads cost little, and a gate costs nothing"),
    "summed_mlp": summed("as the circuit", "mlp_gated"),
    "summed_plain": summed("as the circuit", weighted=False),
    "near_identity": recorded("better than qtha: it starts as its classical part", small_angles),
    "fast_angles": recorded("no change: the angles matter little", None, {"circuit": 10.0}),
    "slow_angles": recorded("no change: the angles matter little", None, {"circuit": 0.1}),
    "other_layers": recorded("better: v, o and down carry more of what is learned", target_modules=BEST),
    "wide": recorded("a little better, at 2.4 times the size", r=8, width=32, circuit_layers=2),
    "last_layers": recorded("worse", layers_to_transform=list(range(15, 30))),
    "shared": recorded(
        "better than qtha at the same size: wide maps cost little",
        shared_maps,
        r=16,
        qubits=4,
        compress="dense",
        expand="dense",
    ),
    "shared_linear": recorded(
        "as shared: the circuit matters little", shared_maps, r=16, compress="dense", expand="dense", core="linear"
    ),
    "shared_all_8": shared("better than subspace at 1.8 times the size: all layers write to one stream", 8),
    "basis": basis("the best of the choices of layers"),
    "basis_large": basis("better by 0.03 for 1.8 times the size", r=33),
    "basis_diagonal": basis(
        "as basis at a fifth of the size: the first step of descent is diagonal",
        128,
        BEST,
        (4e-3, 8e-3, 1.6e-2),
        diagonal,
    ),
    "basis_diagonal_all": basis("better than on three kinds of layers", 128, ALL, (4e-3, 8e-3, 1.6e-2), diagonal),
    "basis_low_rank_1": basis(
        "as LoRA of rank 1 there at a fifth of the size", 128, BEST, (4e-3, 8e-3, 1.6e-2), low_rank(1)
    ),
    "basis_low_rank_4": basis(
        "better than basis at nine tenths of the size", 64, BEST, (4e-3, 8e-3, 1.6e-2), low_rank(4)
    ),
    "basis_low_rank_4_wide": basis("better than r = 64", 128, BEST, (1.6e-2,), low_rank(4)),
    "basis_low_rank_8": basis("better by 0.02 for twice the size", 64, BEST, (1.6e-2,), low_rank(8)),
    "basis_low_rank_4_all": basis("better by 0.02 for 2.3 times the size", 64, ALL, (8e-3, 1.6e-2), low_rank(4)),
    "between": basis(
        "as basis_low_rank_4, with a start of even scale", 64, BEST, (1.6e-2, 3.2e-2), inner("identity", 4)
    ),
    "between_quantum": basis(
        "better than between: a circuit where the paper has it", 64, BEST, (1.6e-2, 3.2e-2), inner("quantum_linear", 4)
    ),
    "subspace_all_32": subspace("as basis_low_rank_4 at its size", low_rank(4), ALL, 32),
    "subspace_all_2": subspace("a little worse than subspace_all_32", low_rank(2), ALL, 64),
    "subspace_gated": gated("as subspace_upon, which it is", "quantum_gated"),
    "subspace_gated_mlp": gated("as the circuit", "mlp_gated"),
    "subspace_bias": subspace("a little better, at 1.12 times the size: LoRA has no bias", beside("bias")),
    "subspace_upon": subspace("no worse: a circuit scales what is there, from 1 on", beside("upon")),
    "subspace_beside": subspace("as subspace_bias: a circuit's mean is a bias", beside("beside")),
    "subspace_graded": subspace("better: less noise from minor directions", graded(0.5)),
    "subspace_graded_little": subspace("between", graded(0.25)),
    "basis_of_weights": basis("worse than LoRA: the weights do not know the task", basis="weight"),
    "basis_random": basis("as the weights'", basis="random"),
    "basis_of_activations": basis(
        "between the weights' and the gradient's", 24, BEST, (4e-3, 8e-3), activation_directions
    ),
    "half_1": half("as basis: one input direction a layer, all output directions", 1),
    "half_2": half("better than basis at 1.6 times the size", 2),
    "started_1": started("better than LoRA of rank 1 there", 1),
    "lora_1_o_down": lora(1, ["o_proj", "down_proj"], 4e-3, 8e-3, 1.6e-2),
    "basis_pairs": Candidate(
        {
            "preset": "qtha",
            "core": "quantum_linear",
            "compress": "basis",
            "expand": "basis",
            "r": 22,
            "qubits": 4,
            "circuit_layers": 1,
            "target_modules": BEST,
        },
        "better than Z alone: ten numbers instead of four",
        (2e-3, 4e-3),
        reading_pairs,
    ),
}
"""By name; docs/research.md says what came out."""
