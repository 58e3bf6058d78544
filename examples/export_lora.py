# Train an adapter, write it as a plain LoRA, and load that without qweft. A minute and a half on two cores.
import subprocess
import sys

from qweft import export, train
from qweft.models.config import ModelConfig
from qweft.models.load import load_model

WITHOUT_QWEFT = """
import sys
from peft import PeftModel
from transformers import AutoModelForCausalLM
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(sys.argv[1]), sys.argv[2])
print(f"loaded without qweft: {model.peft_config['default'].peft_type.value} of rank {model.peft_config['default'].r}")
assert "qweft" not in sys.modules
"""
trained = train(
    model={"name": "smollm2-135m-instruct", "source": "package"},
    data={
        "source": "embedded:chitchat",
        "train_rows": 64,
        "validation_rows": 8,
        "test_rows": 16,
        "max_length": 64,
        "overlong": "drop",
    },
    adapter={"preset": "qtha", "target_modules": ["q_proj", "v_proj"]},
    training={"max_steps": 8, "batch_size": 4, "gradient_accumulation": 1},
    evaluation={"batch_size": 8, "answers": 0},
    output="runs/exported",
)
made = export(trained.adapter, calibration_tokens=1000)  # refused if it loses more than a tenth of what was learned
print(f"loss {made.base_loss:.4f}, with the adapter {made.adapter_loss:.4f}, as a LoRA {made.loss:.4f}")
base = load_model(ModelConfig("smollm2-135m-instruct", source="package")).source.location  # its folder on this machine
subprocess.run([sys.executable, "-c", WITHOUT_QWEFT, base, str(made.output)], check=True)
