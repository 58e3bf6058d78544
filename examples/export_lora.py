# Train an adapter, write it as a plain LoRA, and load that without qweft. A minute and a half on two cores.
import subprocess
import sys
from pathlib import Path

from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.exporting.run import export
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from qweft.training.config import RunConfig, TrainingConfig
from qweft.training.run import train

EMBEDDED = ModelConfig("smollm2-135m-instruct", source="package")
WITHOUT_QWEFT = """
import sys
from peft import PeftModel
from transformers import AutoModelForCausalLM
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(sys.argv[1]), sys.argv[2])
print(f"loaded without qweft: {model.peft_config['default'].peft_type.value} of rank {model.peft_config['default'].r}")
assert "qweft" not in sys.modules
"""
run = RunConfig(
    model=EMBEDDED,
    data=DataConfig(
        "embedded:chitchat", train_rows=64, validation_rows=8, test_rows=16, max_length=64, overlong="drop"
    ),
    adapter={"preset": "qtha", "target_modules": ["q_proj", "v_proj"]},
    training=TrainingConfig(max_steps=6, batch_size=4, gradient_accumulation=1, learning_rate=2e-3),
    evaluation=EvaluationConfig(batch_size=8, answers=0),
    output="runs/exported",
)
trained = train(run)
report = export(trained.adapter_folder, {"calibration_tokens": 1000})  # refused if it loses a tenth of the gain
found = report.measured
print(f"loss {found.base_loss:.4f}, with the adapter {found.hybrid_loss:.4f}, as a LoRA {found.exported_loss:.4f}")
base = load_model(EMBEDDED).source.location
subprocess.run([sys.executable, "-c", WITHOUT_QWEFT, base, str(Path(report.output))], check=True)
