# PEFT in twenty lines: attach the adapter, train it, save it and load it again. Twenty seconds on two cores.
import torch
from peft import PeftModel, get_peft_model

from qweft import QwthnConfig
from qweft.models.config import ModelConfig
from qweft.models.load import load_model

EMBEDDED = ModelConfig("smollm2-135m-instruct", source="package")
loaded = load_model(EMBEDDED)  # or AutoModelForCausalLM.from_pretrained(...) and AutoTokenizer
config = QwthnConfig.preset("qtha", target_modules=["q_proj", "v_proj"])
model = get_peft_model(loaded.model, config)
model.print_trainable_parameters()

batch = loaded.tokenizer("A quantum circuit walks into a bar, and out of it at once.", return_tensors="pt")
optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=config.learning_rate_hint)
for step in range(8):
    loss = model(**batch, labels=batch["input_ids"]).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    print(f"step {step}: loss {loss.item():.3f}")

model.save_pretrained("runs/peft/adapter")
again = PeftModel.from_pretrained(load_model(EMBEDDED).model, "runs/peft/adapter")
with torch.no_grad():
    difference = (again.eval()(**batch).logits - model.eval()(**batch).logits).abs().max().item()
print(f"loaded again: the logits differ by {difference:.1g}")
