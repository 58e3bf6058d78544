# TRL's SFTTrainer with a Qweft adapter in the place of a LoraConfig. Half a minute on two cores.
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from qweft import QwthnConfig
from qweft.models.config import ModelConfig
from qweft.models.load import load_model

loaded = load_model(ModelConfig("smollm2-135m-instruct", source="package"))  # or the name of a model, for TRL to load
rows = [
    {"prompt": f"What is {first} plus {second}?", "completion": f" {first} plus {second} is {first + second}."}
    for first in range(2, 6)
    for second in range(10, 18)
]
config = QwthnConfig.preset("qtha", target_modules=["q_proj", "v_proj"])
arguments = SFTConfig(
    output_dir="runs/trl",
    max_steps=8,
    per_device_train_batch_size=4,
    learning_rate=config.learning_rate_hint,
    logging_steps=2,
    save_strategy="no",
    report_to="none",
    use_cpu=True,
    bf16=False,
    seed=0,
)
trainer = SFTTrainer(
    model=loaded.model,
    args=arguments,
    train_dataset=Dataset.from_list(rows),
    processing_class=loaded.tokenizer,
    peft_config=config,
)
trainer.train()
losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
print(f"training loss {losses[0]:.3f} -> {losses[-1]:.3f}")
trainer.save_model("runs/trl/adapter")
