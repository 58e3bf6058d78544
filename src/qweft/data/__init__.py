"""Data sets: from the rows of a source to the batches of a training.

The path of a row, by file: `read/` yields it from a file, a folder, the hub or a package; `formats` and `convert` make
it a `Conversation` (its messages by `messages` and `tool_calls`); `sources` collects these, long texts in `windows`;
`split/` deals them out; `template` (and `tool_text`) renders them; `tokens` and `encoder` make tokens and labels;
`batches` lays them out for a model, whose loss `qweft.evaluation.loss` takes. `load.load_data` calls all but the last.
"""
