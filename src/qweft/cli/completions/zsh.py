"""The script for zsh."""

import shlex
from collections.abc import Sequence

from qweft.cli.completions.words import Words, by_value

SCRIPT = r"""#compdef qweft
# Completion of qweft in zsh. In ~/.zshrc: eval "$(qweft completion zsh)"
_qweft() {
    local previous=$words[CURRENT-1]
    local -a commands options more verbs values
    local files=''
    if (( CURRENT == 2 )); then
        commands=(
@COMMANDS@
        )
        _describe command commands
        [[ $words[CURRENT] == -* ]] && compadd -- --help --version
        return
    fi
    case $words[2] in
@COMMAND_CASES@
        *) return 1 ;;
    esac
    if [[ $words[CURRENT] == --*=* ]]; then
        previous=${words[CURRENT]%%=*}
        compset -P '*='
    fi
    case $words[2]:$previous in
@VALUE_CASES@
    esac
    if [[ $values == file ]]; then
        _files
    elif [[ $values == other ]]; then
        return 1
    elif (( $#values )); then
        compadd -- $values
    elif [[ $words[CURRENT] == -* || ( -z $files && -z $verbs ) ]]; then
        compadd -- $options
        (( $#more )) && compadd -S '' -- $more
    elif (( $#verbs && CURRENT == 3 )); then
        compadd -- $verbs
    elif [[ -n $files ]]; then
        _files
    fi
}
if [[ $funcstack[1] == _qweft ]]; then
    _qweft "$@" # a file of $fpath
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
    compdef _qweft qweft
fi
"""


def script(words: Sequence[Words]) -> str:
    """The script.

    Args:
        words: Of all commands.
    """
    named = [f"            {shlex.quote(f'{each.command}:{each.about}')}" for each in words]
    commands = []
    for each in words:
        options = " ".join(option.name for option in each.options if option.takes != "more")
        more = " ".join(option.name for option in each.options if option.takes == "more")
        verbs = f" verbs=({' '.join(each.verbs)})" if each.verbs else ""
        files = " files=yes" if each.takes_files else ""
        commands.append(f"        {each.command}) options=({options}) more=({more}){verbs}{files} ;;")
    after: dict[str, list[str]] = {}
    for option, having in by_value(words).items():
        if option.takes in ("choice", "file", "other"):
            value = " ".join(option.choices) or option.takes
            after.setdefault(value, []).extend(f"{command}:{option.name}" for command in having)
    values = [f"        {'|'.join(patterns)}) values=({value}) ;;" for value, patterns in after.items()]
    return (
        SCRIPT.replace("@COMMANDS@", "\n".join(named))
        .replace("@COMMAND_CASES@", "\n".join(commands))
        .replace("@VALUE_CASES@", "\n".join(values))
    )
