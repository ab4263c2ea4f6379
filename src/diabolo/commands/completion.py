"""`diabolo completion`: what can stand next on a command line, in bash, zsh and fish."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from diabolo import recipes
from diabolo.arguments import Argument, Usage
from diabolo.commands import COMMANDS, Command, Family, chosen, command
from diabolo.errors import InputError

FILES = ":files"  # as the last candidate: any file, too
SCRIPTS = {
    "bash": r"""_diabolo() {
    local IFS=$'\n' now="${COMP_WORDS[COMP_CWORD]}"
    COMPREPLY=($(diabolo completion bash -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    if [[ "${COMPREPLY[*]: -1}" == :files ]]; then
        unset "COMPREPLY[-1]"
        compopt -o filenames 2>/dev/null
        COMPREPLY+=($(compgen -f -- "$now"))
    fi
}
complete -F _diabolo diabolo""",
    "zsh": r"""_diabolo() {
    local -a known
    known=("${(@f)$(diabolo completion zsh -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    compadd -- ${known:#:files}
    [[ "$known[-1]" == :files ]] && _files
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _diabolo diabolo""",
    "fish": r"""function __diabolo
    set -l words (commandline -opc) (commandline -ct)
    set -l known (diabolo completion fish -- $words[2..-1] 2>/dev/null)
    string match -v -- :files $known
    contains -- :files $known; and __fish_complete_path (commandline -ct)
end
complete -c diabolo -f -a "(__diabolo)" """.rstrip(),
}


@command("more", "diabolo completion bash")
def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"],
        Usage("bash|zsh|fish"),
        'which; in ~/.bashrc, and likewise in ~/.zshrc: eval "$(diabolo completion bash)"; in'
        " fish's configuration: diabolo completion fish | source",
    ],
    words: Annotated[
        Sequence[str], Usage("WORD"), "instead, print what the last of these words can become"
    ] = (),
) -> list[str]:
    """Print the script with which a shell completes commands, flags, recipes and files."""
    return candidates(words) if words else [SCRIPTS[shell]]


def candidates(words: Sequence[str]) -> list[str]:
    """What the last of some words after `diabolo`, perhaps empty, can become."""
    *before, last = words
    try:
        node, rest = chosen(COMMANDS, before)
    except InputError:
        return []
    if isinstance(node, Command):
        found = list(_of_command(node, rest, last))
    else:
        known = node.commands if isinstance(node, Family) else COMMANDS
        found = ["--help"] if last.startswith("-") else [*known]
    return [one for one in found if one.startswith(last) or one == FILES]


def _of_command(command: Command, before: Sequence[str], last: str) -> Iterator[str]:
    """Flags where one is begun, else values of the flag or of the place that is next."""
    flags = {a.flag: a for a in command.arguments if a.flag}
    taking = {flag for flag, argument in flags.items() if not argument.switch}
    if last.startswith("-"):
        yield from sorted({*flags, "--help"} - set(before))
    elif before and before[-1] in taking:
        yield from _values(flags[before[-1]])
    else:
        places = [a for a in command.arguments if not a.flag]
        pairs = zip(["", *before], before, strict=False)
        taken = sum(not w.startswith("-") and flag not in taking for flag, w in pairs)
        if places and (taken < len(places) or places[-1].many):
            yield from _values(places[min(taken, len(places) - 1)])


def _values(argument: Argument) -> Iterator[str]:
    yield from argument.choices
    if "RECIPE" in argument.metavar:
        yield from recipes.names()
    if argument.hint not in (int, float) and not argument.choices:
        yield FILES
