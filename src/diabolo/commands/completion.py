"""`diabolo completion`: what can stand next on a command line, in bash, zsh and fish."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from diabolo import recipes
from diabolo.arguments import Argument, Usage
from diabolo.commands import COMMANDS, Command, Family, chosen, command
from diabolo.errors import InputError

FILES = ":files"  # a last candidate: and any file

SCRIPTS = {
    "bash": """\
_diabolo() {
    local IFS=$'\\n' now="${COMP_WORDS[COMP_CWORD]}" known
    known=($(diabolo completion bash -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    COMPREPLY=($(compgen -W "${known[*]/#:files/}" -- "$now"))
    if [[ "${known[*]: -1}" == :files ]]; then
        compopt -o filenames
        COMPREPLY+=($(compgen -f -- "$now"))
    fi
}
complete -F _diabolo diabolo
""",
    "zsh": """\
#compdef diabolo
_diabolo() {
    local -a known
    known=(${(f)"$(diabolo completion zsh -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    compadd -- ${known:#:files}
    [[ "$known[-1]" == :files ]] && _files
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _diabolo diabolo
""",
    "fish": """\
function __diabolo
    set -l words (commandline -opc) (commandline -ct)
    set -l known (diabolo completion fish -- $words[2..-1] 2>/dev/null)
    string match -v -- :files $known
    contains -- :files $known; and __fish_complete_path (commandline -ct)
end
complete -c diabolo -f -a "(__diabolo)"
""",
}


@command("more", 'eval "$(diabolo completion bash)"') def completion( shell:
Annotated[Literal["bash", "zsh", "fish"], Usage("bash|zsh|fish"), "the shell"], words:
Annotated[list[str], Usage("WORD"), "what is typed: print what can end it"] = [],  # noqa: B006 )
-> list[str]: """Print the script that completes commands, flags, recipes and files in a shell.

    It is read once in each shell, such as in ~/.bashrc, and asks for the candidates.
    """
    return candidates(words) if words else [SCRIPTS[shell].rstrip()]


def candidates(words: Sequence[str]) -> list[str]:
    """What the last of the words, perhaps empty, can become."""
    *before, last = words
    try:
        node, rest = chosen(COMMANDS, before)
    except InputError:
        return []
    if isinstance(node, Command):
        found = list(_of_command(node, rest, last))
    else:
        known = node.commands if isinstance(node, Family) else COMMANDS
        found = [*known, "--help"]
    return [one for one in found if one.startswith(last) or one == FILES]


def _of_command(command: Command, before: Sequence[str], last: str) -> Iterator[str]:
    """Flags where one is begun, else values of the flag or of the place that is next."""
    flags = {a.flag: a for a in command.arguments if a.flag}
    if last.startswith("-"):
        yield from sorted({*flags, "--help"} - set(before))
    elif before and before[-1] in flags and not flags[before[-1]].switch:
        yield from _values(flags[before[-1]])
    else:
        places = [a for a in command.arguments if not a.flag]
        taken = sum(not word.startswith("-") for word in before) - _given_to_flags(before, flags)
        if places and (taken < len(places) or places[-1].many):
            yield from _values(places[min(taken, len(places) - 1)])


def _given_to_flags(words: Sequence[str], flags: dict[str, Argument]) -> int:
    """How many words are the values of flags."""
    return sum(word in flags and not flags[word].switch for word in words[:-1])


def _values(argument: Argument) -> Iterator[str]:
    yield from argument.choices
    if "RECIPE" in argument.metavar:
        yield from recipes.names()
    if argument.hint not in (int, float) and not argument.choices:
        yield FILES
