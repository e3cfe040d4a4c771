"""The keys of many plans that differ in their targets alone, without making each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from dreamopt.recipes.plan import Plan
from dreamopt.recipes.targets import Sample


class PlanKeys:
    """Content keys of plans: `Plan.key`, but for where input files are, which changes no image.

    Parameters
    ----------
    plan : Plan
        Of one target; the others differ in their samples alone.
    """

    def __init__(self, plan: Plan) -> None:
        self._described = plan.describe()
        self._described["inputs"] = dict.fromkeys(sorted(plan.inputs.values()), "")

    def key(self, samples: Sequence[Sample]) -> str:
        """Return the key of the same plan with other samples, as many."""
        of_samples = {
            "batch": [str(sample.objective) for sample in samples],
            "targets": [sample.text for sample in samples],
            "labels": [sample.label for sample in samples],
            "items": [sample.item for sample in samples],
        }
        return hashlib.sha256(json.dumps(self._described | of_samples, sort_keys=True).encode()).hexdigest()
