"""The method as a config names it: fields, presets, names, checks. Importing it brings neither PyTorch nor PEFT."""
