# qtha against a LoRA of its size, each at its own rate, and the sentence that answers. Two minutes on two cores.
from qweft import compare

TARGETS = ["q_proj", "v_proj"]
compared = compare(
    {
        "methods": {
            "lora": {"adapter": {"peft_type": "LORA", "r": 1, "target_modules": TARGETS}, "learning_rate": 9.4e-3},
            "qtha": {"adapter": {"preset": "qtha", "target_modules": TARGETS}},  # the preset brings its own rate
        },
        "reference": "lora",
        "seeds": [0, 1, 2],
    },
    model={"name": "smollm2-135m-instruct", "source": "package"},
    data={
        "source": "embedded:chitchat",
        "train_rows": 128,
        "validation_rows": 8,
        "test_rows": 16,
        "max_length": 48,
        "overlong": "drop",
    },
    training={"max_steps": 8, "batch_size": 4, "gradient_accumulation": 1},
    evaluation={"batch_size": 8, "answers": 0},
    output="runs/two",
)
for method, loss in compared.losses.items():
    print(f"{method} {loss:.3f}")
