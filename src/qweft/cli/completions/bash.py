"""The script for bash. It works in bash 3.2, too, which macOS has."""

from collections.abc import Sequence

from qweft.cli.completions.words import Words, by_value

SCRIPT = r"""# Completion of qweft in bash. In ~/.bashrc: eval "$(qweft completion bash)"
_qweft() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}
    local options='' verbs='' files='' values=''
    COMPREPLY=()
    # bash takes --key=value apart at its =
    if [[ $cur == = ]]; then
        cur=''
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    if [[ $COMP_CWORD -eq 1 ]]; then
        _qweft_words '@COMMANDS@ --help --version'
        return
    fi
    case $command in
@COMMAND_CASES@
        *) _qweft_nothing; return ;;
    esac
    case $command:$prev in
@VALUE_CASES@
    esac
    if [[ $values == file ]]; then
        return # bash completes files itself where there are no words
    elif [[ $values == other ]]; then
        _qweft_nothing
    elif [[ -n $values ]]; then
        _qweft_words "$values"
    elif [[ $cur == -* ]]; then
        _qweft_words "$options"
    elif [[ -n $verbs && $COMP_CWORD -eq 2 ]]; then
        _qweft_words "$verbs"
    elif [[ -z $files ]]; then
        _qweft_words "$options"
    fi
}
_qweft_words() {
    COMPREPLY=($(compgen -W "$1" -- "$cur"))
    if [[ ${#COMPREPLY[@]} -eq 0 ]]; then
        _qweft_nothing
    elif [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *. ]]; then
        compopt -o nospace 2>/dev/null # a key follows
    fi
}
_qweft_nothing() {
    compopt +o default 2>/dev/null # no files
}
complete -o default -F _qweft qweft
"""


def script(words: Sequence[Words]) -> str:
    """The script.

    Args:
        words: Of all commands.
    """
    commands = []
    for each in words:
        options = " ".join(option.name for option in each.options)
        verbs = f" verbs='{' '.join(each.verbs)}'" if each.verbs else ""
        files = " files=yes" if each.takes_files else ""
        commands.append(f"        {each.command}) options='{options}'{verbs}{files} ;;")
    after: dict[str, list[str]] = {}
    for option, having in by_value(words).items():
        if option.takes in ("choice", "file", "other"):
            value = " ".join(option.choices) or option.takes
            after.setdefault(value, []).extend(f"{command}:{option.name}" for command in having)
    values = [f"        {'|'.join(patterns)}) values='{value}' ;;" for value, patterns in after.items()]
    return (
        SCRIPT.replace("@COMMANDS@", " ".join(each.command for each in words))
        .replace("@COMMAND_CASES@", "\n".join(commands))
        .replace("@VALUE_CASES@", "\n".join(values))
    )
