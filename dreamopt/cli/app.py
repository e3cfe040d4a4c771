"""The group of commands: errors as sentences, exit codes, and loading a command's module only when it is called."""

import importlib
import sys
import warnings
from typing import IO, Any

import click

from dreamopt.cli.echo import echo, printable_lines, show_traceback
from dreamopt.cli.threads import threads_option
from dreamopt.errors import DreamoptError, DreamoptWarning, UsageError, in_brackets, suggest
from dreamopt.version import __version__

COMMANDS = {
    "activations": "Show what layers and units make of an image.",
    "atlas": "Make an atlas: every unit of a net, with pages to look at it.",
    "attribute": "Show what in an image a unit answers to.",
    "bench": "Compare settings: which are best for a net.",
    "check": "Check parts of your own, an objective or a layer, say.",
    "demo": "Render the embedded net's filters and classes, and dream, offline.",
    "dream": "Strengthen in an image what a net's layers see in it.",
    "explore": "Explore a net in the browser, live.",
    "inspect": "Show a net's layers, shapes, parameters and input.",
    "models": "List public Caffe models and fetch them.",
    "presets": "List the published recipes that render knows.",
    "render": "Make the images that filters, neurons and classes respond to most.",
    "replay": "Make an image again from its metadata.",
    "top": "Show the images and crops of a set that drive units most.",
    "zoom": "Zoom into an image without an end, dreaming.",
}


class CommandFailed(click.ClickException):
    """A dreamopt error as one line on stderr."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it on stderr."""
        click.echo(f"dreamopt: error: {self.format_message()}", file=file if file is not None else sys.stderr)


class ArgumentsRefused(CommandFailed):
    """Arguments that do not fit, with the exit code of click's own errors of that kind."""

    exit_code = 2


def _warn(message: Warning | str, category: type[Warning], filename: str, lineno: int, file: object = None, line: object = None) -> None:
    if issubclass(category, DreamoptWarning):
        echo(f"dreamopt: warning: {message}", err=True)
    else:
        click.echo(printable_lines(warnings.formatwarning(message, category, filename, lineno)), err=True, nl=False)


def _escaped(error: click.ClickException) -> click.ClickException:
    """Return a usage error whose message, which repeats what was typed, a terminal can show."""
    object.__setattr__(error, "message", printable_lines(error.message))  # which click declares final
    return error


def _as_argument(error: click.NoSuchOption) -> click.ClickException:
    """Return the error of an option that the command takes as an argument, as ``inspect --net NET``, said so; any other as it is."""
    name = error.option_name.lstrip("-")
    context = error.ctx
    if context is None or not any(isinstance(one, click.Argument) and one.name == name for one in context.command.params):
        return error
    return click.UsageError(f"No such option '--{name}': here it stands alone, dreamopt {context.info_name} {name.upper()}.", context)


class Commands(click.Group):
    """A group whose commands live in modules of their own, named as the command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module and return the command."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"dreamopt.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is called; of a name that none has, say which are like it."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            hint = in_brackets(suggest(args[0], COMMANDS, 1))
            ctx.fail(f"No such command {args[0]!r}{hint}; there are {', '.join(sorted(COMMANDS))}.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing one of them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options that stand before a command."""
        try:
            return super().parse_args(ctx, args)
        except click.ClickException as error:
            raise _escaped(error) from error.__cause__

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, with errors as sentences and Ctrl-C as exit code 130."""
        sys.excepthook = show_traceback
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("once", DreamoptWarning)
                warnings.showwarning = _warn
                return super().invoke(ctx)
        except DreamoptError as error:
            refusal = ArgumentsRefused if isinstance(error, UsageError) else CommandFailed
            raise refusal(str(error)) from error
        except click.NoSuchOption as error:
            raise _escaped(_as_argument(error)) from error.__cause__
        except click.ClickException as error:
            raise _escaped(error) from error.__cause__
        except KeyboardInterrupt:
            click.echo("dreamopt: interrupted.", err=True)
            ctx.exit(130)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="dreamopt")
@threads_option
def cli() -> None:
    """See what the filters, neurons and classes of a trained Caffe net respond to, with or without Caffe."""


main = cli
