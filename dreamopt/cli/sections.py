"""Help in sections: options that belong together stand together, in the same order on every command."""

from collections.abc import Callable
from functools import partial
from typing import Any

import click

TARGET, RECIPE, IMAGE, OPTIMIZER, REGULARIZERS, MOTION = "Target", "Recipe", "Image", "Optimizer", "Regularizers", "Motion"
FILM, COMPARE, RUN, NET = "Film", "Comparison of methods", "Run", "Net"
ORDER = (TARGET, RECIPE, IMAGE, OPTIMIZER, REGULARIZERS, MOTION, FILM, COMPARE, RUN, NET)
"""The sections in the order in which they are shown; what has none of them comes last."""
OTHER = "Other"
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class SectionOption(click.Option):
    """An option that knows the section of the help that it stands in.

    Parameters
    ----------
    *args, **kwargs
        As of `click.Option`.
    section : str
        One of `ORDER`.
    """

    def __init__(self, *args: Any, section: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


def _options_of(section: str) -> Callable[..., Decorator]:
    """Return `click.option` for options of a section."""
    return partial(click.option, cls=SectionOption, section=section)


of_target, of_recipe, of_image, of_optimizer = map(_options_of, (TARGET, RECIPE, IMAGE, OPTIMIZER))
of_regularizers, of_motion, of_film, of_compare, of_run, of_net = map(_options_of, (REGULARIZERS, MOTION, FILM, COMPARE, RUN, NET))


class SectionedCommand(click.Command):
    """A command whose options are shown by section."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, those of each section below its title."""
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in (*ORDER, OTHER)}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                sections[getattr(parameter, "section", OTHER)].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
