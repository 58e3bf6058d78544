"""The script for fish."""

from collections.abc import Sequence

from qweft.cli.completions.words import Words, by_value

SCRIPT = r"""# Completion of qweft in fish. In ~/.config/fish/config.fish: qweft completion fish | source
function __qweft_is --description 'the command is one of these'
    set -l before (commandline -opc)
    test (count $before) -ge 2; and contains -- $before[2] $argv
end
function __qweft_first --description 'nothing stands before the word but so many words'
    test (count (commandline -opc)) -eq $argv[1]
end
complete -c qweft -e
complete -c qweft -f
complete -c qweft -n '__qweft_first 1' -l help
complete -c qweft -n '__qweft_first 1' -l version
@LINES@
"""


def script(words: Sequence[Words]) -> str:
    """The script.

    Args:
        words: Of all commands.
    """
    lines = [f"complete -c qweft -n '__qweft_first 1' -a {each.command} -d {_quoted(each.about)}" for each in words]
    for each in words:
        if each.verbs:
            lines.append(
                f"complete -c qweft -n '__qweft_first 2; and __qweft_is {each.command}' -a '{' '.join(each.verbs)}'"
            )
    files = " ".join(each.command for each in words if each.takes_files)
    lines.append(f"complete -c qweft -n '__qweft_is {files}' -F")
    for option, having in by_value(words).items():
        if option.takes == "more":
            what = f"-a '{option.name}'"  # fish puts no space behind a point
        else:
            value = {"nothing": "", "file": " -r -F", "other": " -x", "choice": f" -x -a '{' '.join(option.choices)}'"}
            what = f"-l {option.name[2:]}{value[option.takes]}"
        lines.append(f"complete -c qweft -n '__qweft_is {' '.join(having)}' {what}")
    return SCRIPT.replace("@LINES@", "\n".join(lines))


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
