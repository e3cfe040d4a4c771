"""Text in the cells of CSV files: names that strangers gave are no formulas in a spreadsheet."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def path_cell(path: str) -> str:
    """Return a path that names the same file and is no formula.

    >>> path_cell('=HYPERLINK("a").png'), path_cell("photos/=a.png")
    ('./=HYPERLINK("a").png', 'photos/=a.png')
    """
    return f"./{path}" if path.startswith(FORMULA) else path


def text_cell(text: str) -> str:
    """Return a text that is no formula: one that would be has an apostrophe before it.

    >>> text_cell("-conv4:7"), text_cell("tabby cat")
    ("'-conv4:7", 'tabby cat')
    """
    return f"'{text}" if text.startswith(FORMULA) else text
