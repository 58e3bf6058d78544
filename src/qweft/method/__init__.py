"""The method as a config names it: fields, presets, names and their checks. Nothing here imports PyTorch or PEFT."""
