# Two methods at three seeds, and the sentence that says whether one is better. A minute and a half on two cores.
from qweft.comparison.config import ComparisonConfig, MethodConfig
from qweft.comparison.runner import compare
from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig
from qweft.training.config import TrainingConfig

TARGETS = ["q_proj", "v_proj"]
config = ComparisonConfig(
    methods={
        # of one size, each at a rate of its own: one rate for both would decide by itself
        "lora": MethodConfig({"peft_type": "LORA", "r": 1, "target_modules": TARGETS}, learning_rate=1e-2),
        "qtha": MethodConfig({"preset": "qtha", "target_modules": TARGETS}, learning_rate=1e-3),
    },
    reference="lora",
    seeds=[0, 1, 2],
    model=ModelConfig("smollm2-135m-instruct", source="package"),
    data=DataConfig(
        "embedded:chitchat", train_rows=64, validation_rows=8, test_rows=16, max_length=48, overlong="drop"
    ),
    training=TrainingConfig(max_steps=3, batch_size=4, gradient_accumulation=1),
    evaluation=EvaluationConfig(batch_size=8, answers=0),
    output="runs/two",
)
# prints each run, the table, where the report is, and the conclusion in plain sentences
compare(config, config_yaml="", command="python compare_two.py")
