"""Text -> a cell of a CSV file that no spreadsheet takes for a formula -> the text again.

The names of files and scenes come from anywhere, and a spreadsheet computes a cell that begins with `=`. Such cells get
an apostrophe in front, which spreadsheets take for the mark of a text; pandas and the like show it. Numbers are written
as they are, also below zero.
"""

_COMPUTED = ("=", "+", "-", "@", "\t", "\r", "\n")


def to_cell(text: str) -> str:
    """The cell for a text."""
    return f"'{text}" if text.lstrip("'").startswith(_COMPUTED) else text


def from_cell(cell: str) -> str:
    """The text of a cell that `to_cell` made."""
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(_COMPUTED) else cell
