"""Old names in metadata of format 1, for its reader: classes of parts, their parameters, and keys of settings."""

from __future__ import annotations

CLASSES: dict[str, str] = {}
"""Old class name to the one it has now."""
PARAMETERS: dict[str, dict[str, str]] = {
    "blur_difference": {"follow": "differentiate_blur"},
    "log_probability": {"own_only": "own_logit_only"},
}
"""For a part by its name in snake case, an old parameter's name to the one it has now."""
SETTINGS: dict[str, str] = {}
"""Old key of the settings to the one it has now."""
