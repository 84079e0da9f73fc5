"""``oxytomo completion``: scripts for shell completion, generated from the parser."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass

DESCRIPTION = """\
Print a script for shell completion of commands, options, their choices and file names."""
EXAMPLES = """\
examples:
  oxytomo completion bash > ~/.local/share/bash-completion/completions/oxytomo
  oxytomo completion zsh > ~/.zfunc/_oxytomo          ~/.zfunc has to be in fpath, before compinit
  oxytomo completion fish > ~/.config/fish/completions/oxytomo.fish"""

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True)
class Words:
    """Words that can follow a command: its options, and the choices of these options."""

    name: str
    purpose: str
    options: tuple[tuple[str, str], ...]
    choices: dict[str, tuple[str, ...]]
    first: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    parser.add_argument("shell", choices=SHELLS, help="shell")


def run(arguments: argparse.Namespace) -> int:
    """Write the script to standard output."""
    from oxytomo.cli import build_parser

    commands = list(words_of(build_parser()))
    script = {"bash": _bash, "zsh": _zsh, "fish": _fish}[arguments.shell](commands)
    sys.stdout.write("\n".join(script) + "\n")
    return 0


def words_of(parser: argparse.ArgumentParser) -> Iterator[Words]:
    """Yield the words of each command of a parser."""
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        purposes = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for name, command in action.choices.items():
            yield _words(name, purposes.get(name, ""), command)


def _words(name: str, purpose: str, command: argparse.ArgumentParser) -> Words:
    options: list[tuple[str, str]] = []
    choices: dict[str, tuple[str, ...]] = {}
    first: tuple[str, ...] = ()
    for action in command._actions:
        taken = tuple(str(choice) for choice in action.choices or ())
        help_text = "" if action.help in (None, argparse.SUPPRESS) else _plain(str(action.help))
        for option in action.option_strings:
            options.append((option, help_text))
            if taken:
                choices[option] = taken
        if not action.option_strings and taken:
            first = taken
    return Words(name, _plain(purpose), tuple(options), choices, first)


def _plain(text: str) -> str:
    """Return a help text as one short line without special characters of shells."""
    line = " ".join(text.split("%(")[0].split())
    for sign in "'\"`$\\:[]();":
        line = line.replace(sign, " ")
    return " ".join(line.split())[:80]


def _bash(commands: list[Words]) -> list[str]:
    """Return the script for bash."""
    lines = [
        "# completion of oxytomo for bash; made by: oxytomo completion bash",
        "_oxytomo() {",
        '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" words=""',
        '    if [ "$COMP_CWORD" -eq 1 ]; then',
        f'        words="{" ".join(command.name for command in commands)} --help --version"',
        "    else",
        '        case "${COMP_WORDS[1]} $before" in',
    ]
    for command in commands:
        for option, taken in command.choices.items():
            lines.append(f'            "{command.name} {option}") words="{" ".join(taken)}" ;;')
    lines += ["            *)", '                case "${COMP_WORDS[1]}" in']
    for command in commands:
        known = " ".join([option for option, _ in command.options] + list(command.first))
        lines.append(f'                    {command.name}) words="{known}" ;;')
    return [
        *lines,
        "                esac ;;",
        "        esac",
        "    fi",
        '    COMPREPLY=($(compgen -W "$words" -- "$word"))',
        "}",
        "complete -o default -o bashdefault -F _oxytomo oxytomo",
    ]


def _zsh(commands: list[Words]) -> list[str]:
    """Return the script for zsh."""
    lines = [
        "#compdef oxytomo",
        "# completion of oxytomo for zsh; made by: oxytomo completion zsh",
        "_oxytomo() {",
        "    local -a commands options",
        "    if (( CURRENT == 2 )); then",
        "        commands=(",
        *(f"            '{command.name}:{command.purpose}'" for command in commands),
        "        )",
        "        _describe 'command' commands",
        "        return",
        "    fi",
        '    case "$words[2] $words[CURRENT-1]" in',
    ]
    for command in commands:
        for option, taken in command.choices.items():
            lines.append(f"        '{command.name} {option}') compadd {' '.join(taken)}; return ;;")
    lines += ["    esac", '    case "$words[2]" in']
    for command in commands:
        options = " ".join(f"'{option}:{text}'" for option, text in command.options)
        first = f" compadd {' '.join(command.first)};" if command.first else ""
        lines.append(f"        {command.name}) options=({options});{first} ;;")
    return [
        *lines,
        "    esac",
        "    [[ $PREFIX == -* ]] && _describe 'option' options || _files",
        "}",
        '_oxytomo "$@"',
    ]


def _fish(commands: list[Words]) -> list[str]:
    """Return the script for fish."""
    lines = ["# completion of oxytomo for fish; made by: oxytomo completion fish"]
    for command in commands:
        lines.append(f"complete -c oxytomo -n __fish_use_subcommand -a {command.name} -d '{command.purpose}'")
    for command in commands:
        seen = f"complete -c oxytomo -n '__fish_seen_subcommand_from {command.name}'"
        for option, text in command.options:
            kind = f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
            taken = command.choices.get(option)
            lines.append(
                f"{seen} {kind}" + (f" -x -a '{' '.join(taken)}'" if taken else "") + f" -d '{text}'"
            )
        if command.first:
            lines.append(f"{seen} -a '{' '.join(command.first)}'")
    return lines
