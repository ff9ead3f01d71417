"""Options that several commands share. Imports nothing but click, so that `--help` stays fast."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from backstory.face import Face

F = TypeVar("F", bound=Callable[..., Any])


class WithExamples(click.Command):
    """A command whose help ends with examples. Lines are kept as they are, where click would fold them."""

    def __init__(self, *arguments: Any, examples: tuple[str, ...] = (), **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, then the epilog."""
        if self.examples:
            with formatter.section("Example" if len(self.examples) == 1 else "Examples"):
                formatter.write("".join(f"  {line}\n" for line in self.examples))
        super().format_epilog(ctx, formatter)


class Command(WithExamples):
    """A command with examples."""


class Group(WithExamples, click.Group):
    """A group of commands with examples. Without a command it is a usage error; click would make the whole help that error."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, no_args_is_help=False, **named)


with_face = click.make_pass_decorator(Face)

repo = click.option(
    "--repo", type=click.Path(path_type=Path), default=Path(), help="A checkout or a bare repository.  [default: the current folder]"
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
no_model = click.option("--no-model", is_flag=True, help="Ask no model, whatever is configured: work from the history alone.")


api_base = click.option(
    "--api-base",
    metavar="URL",
    help="Address of the model's API, such as http://127.0.0.1:8000/v1; several servers of one model with commas between.",
)


def model(command: F) -> F:
    """Add the options that name a model."""
    return click.option("--model", metavar="NAME", help="Model to ask for what history cannot mend.")(no_model(api_base(command)))


def budget(command: F) -> F:
    """Add the options that limit a run."""
    for name, kind, words in (
        ("tokens", click.INT, "Tokens the run may spend on a model."),
        ("steps", click.INT, "Checks and replies of a model the run may take."),
        ("seconds", click.FLOAT, "Seconds of wall clock the run may take."),
    ):
        command = click.option(f"--budget-{name}", type=kind, metavar="N", help=words)(command)
    return command


def talk(command: F) -> F:
    """Add `--quiet` and `--verbose`, which steer the face and are not passed on."""

    def quiet(context: click.Context, _: click.Parameter, value: bool) -> None:
        context.find_object(Face).quiet |= value  # type: ignore[union-attr]

    def verbose(context: click.Context, _: click.Parameter, value: bool) -> None:
        context.find_object(Face).verbose |= value  # type: ignore[union-attr]
        if value:
            import logging

            logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s")  # to standard error

    command = click.option(
        "-v", "--verbose", is_flag=True, expose_value=False, callback=verbose, help="Log what is done, and show tracebacks."
    )(command)
    return click.option("-q", "--quiet", is_flag=True, expose_value=False, callback=quiet, help="No progress on standard error.")(command)
