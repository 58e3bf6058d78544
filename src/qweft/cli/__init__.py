"""The command line: one thin file a command, which parses, calls one library function and prints.

`main` dispatches; `parser.parse` turns a YAML file and dotted options into a config dataclass, with
`arguments` (argv taken apart), `yaml_file` (strict YAML in, round-trip YAML out), `schema` (the names and types of a
config class), `values` (checking and merging), `source` (the sentences of errors) and `help_text` under it.
Nothing here imports torch; each command imports its library function when it runs.
"""
