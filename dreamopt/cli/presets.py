"""``dreamopt presets``: published recipes by name."""

import click

from dreamopt.cli.echo import echo_json
from dreamopt.cli.output import cell
from dreamopt.progress.terminal import console


@click.group("presets", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the published recipes that `dreamopt render --preset NAME` knows; `presets show NAME` says every number."""
    if context.invoked_subcommand is not None:
        return
    from rich.table import Table

    from dreamopt.parts.preset_files import PresetFile, preset_names, preset_text

    listed = [PresetFile.read(name, preset_text(name)) for name in preset_names()]
    if as_json:
        about = [{"name": recipe.name, "title": recipe.title, "source": recipe.source, "example": recipe.example} for recipe in listed]
        echo_json(about)
        return
    table = Table("name", "what it is", "a target for it", box=None, pad_edge=False)
    for recipe in listed:
        table.add_row(*map(cell, (recipe.name, recipe.title, recipe.example)))
    console().print(table)


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Print a preset's settings as JSON, with its source and what differs from the publication."""
    from dreamopt.parts.preset_files import check_preset

    check_preset(name)  # before what makes settings of it is loaded
    from dreamopt.recipes.preset import preset

    recipe = preset(name)
    about = {"name": recipe.name, "title": recipe.title, "source": recipe.source, "example": recipe.example, "notes": recipe.notes}
    echo_json(about | {"settings": recipe.settings.describe()})
