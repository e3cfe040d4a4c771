"""What a comparison says, in sentences that say no more than the numbers do."""

from __future__ import annotations

import math
from collections.abc import Iterator

from dreamopt.attribution.compare.comparison import Comparison
from dreamopt.attribution.compare.randomization import THRESHOLD
from dreamopt.parts.sentences import listed
from dreamopt.statistics import units_needed


def sentences(comparison: Comparison) -> list[str]:
    """Return the verdict: who is best, if anybody; who does not beat the controls; who ignores the weights; what was measured."""
    found = []
    if comparison.interrupted:
        found.append("It was interrupted: what follows is of the images that were done.")
    found += _best(comparison)
    found += _controls(comparison)
    found += _sanity(comparison)
    found += [f"{name} was left out: {reason}" for name, reason in comparison.failed.items()]
    found.append(_measured(comparison))
    return found


def _ranked(comparison: Comparison) -> list[str]:
    """Return the methods that the first metric has a mean of, from the best to the worst."""
    if not comparison.metrics:
        return []
    by_name = comparison.standings[str(comparison.metrics[0])]
    return [name for name in comparison.ranking if name in comparison.methods and not math.isnan(by_name[name].value.value)]


def _best(comparison: Comparison) -> Iterator[str]:
    methods = _ranked(comparison)
    if not methods:
        yield "No method is ranked: the first metric has no value for any of them."
        return
    metric = comparison.metrics[0]
    first, *rivals = methods
    standing = comparison.standings[str(metric)][first]
    most = "highest" if metric.better == "higher" else "lowest"
    over = "1 image" if standing.images == 1 else f"{standing.images} images"
    yield f"Of the methods, the {most} mean {metric} is that of {first}: {standing.value.value:.3f} over {over}."
    if standing.images < len(comparison.images):
        missing, count = len(comparison.images) - standing.images, len(comparison.images)
        yield f"{metric} has no value for {missing} of {count} images, which are left out."
    if not rivals:
        return
    if standing.images == 1:
        yield "One image says nothing of others: no method is called best."
        return
    found = comparison.differences(first, rivals)
    close = [name for name in rivals if not found[name].is_better]
    unsure = [name for name in rivals if found[name].is_better and not found[name].is_sure]
    if close:
        yield f"It is not called best: the interval of its difference covers 0 for {listed(close)}."
    if unsure:
        needed = units_needed(len(rivals))
        few = f"; {standing.images} images are too few for it, {needed} are the fewest" if standing.images < needed else ""
        yield f"It is not called best: the paired signed-rank test does not tell it from {listed(unsure)} (p of Holm at least .05){few}."
    if not close and not unsure:
        yield "It is better than each other one: the intervals of the differences lie above 0, the paired signed-rank tests have p < .05."


def _controls(comparison: Comparison) -> Iterator[str]:
    methods = _ranked(comparison)
    if not methods:
        return
    metric = comparison.metrics[0]
    for control in [one.name for one in comparison.contestants if one.is_control]:
        behind = [name for name in methods if not _beats(comparison, name, control)]
        what = "a map of noise" if control == "random" else "an edge detector"
        if behind:
            how = "has no higher value" if len(comparison.images) == 1 else "covers 0 or lies below it"
            subject = "" if len(comparison.images) == 1 else "the interval of the difference "
            yield f"Not better than {what} ({control}) by {metric}, {subject}{how}: {listed(behind)}."
        else:
            count, needed = comparison.standings[str(metric)][methods[0]].images, units_needed(1)
            few = (
                "" if count >= needed else f" on {'this one image' if count == 1 else f'these {count} images'}, too few to say so of others"
            )
            yield f"All methods are better than {what} ({control}) by {metric}{few}."


def _beats(comparison: Comparison, name: str, control: str) -> bool:
    difference = comparison.differences(name, [control])[control].value
    return difference.value > 0 if math.isnan(difference.low) else difference.low > 0


def _sanity(comparison: Comparison) -> Iterator[str]:
    sanity = comparison.sanity
    if sanity.reason:
        yield f"Randomized weights were not tried: {sanity.reason}"
        return
    if not sanity.similarities:
        return
    for stage, count in sanity.stages.items():
        same = [
            name for name, by_stage in sanity.similarities.items() if (one := by_stage.get(stage)) is not None and one.rank_abs >= THRESHOLD
        ]
        if not same:
            continue
        what = {
            "top": f"Ignore the top layer: when the weights of '{sanity.layers[0]}' are drawn anew",
            "half": f"Ignore later layers: when the weights of the upper {count} of {len(sanity.layers)} layers are drawn anew",
            "all": f"Hardly depend on what was learned: when the weights of all {count} layers are drawn anew",
        }[stage]
        yield f"{what}, the maps' absolute values keep a rank correlation of at least {THRESHOLD} with what they were: {listed(same)}."
    first = next(iter(sanity.stages))  # of one layer there is no stage "top"
    unknown = [name for name, by_stage in sanity.similarities.items() if by_stage.get(first) is None]
    if unknown:
        yield f"Maps that are the same everywhere, with the weights as they are or drawn anew, cannot be compared: {listed(unknown)}."


def _measured(comparison: Comparison) -> str:
    kinds = listed(list(dict.fromkeys(comparison.explains))) or "nothing"
    count = len(comparison.images)
    return (
        f"Measured on {count} image{'' if count == 1 else 's'} by {listed([_settings(one) for one in comparison.metrics]) or 'no metric'}, "
        f"seed {comparison.settings.get('seed', 0)}; the score is {kinds}. "
        "A metric is not the truth: it says how well a map foretells what removing parts of the image does to this net's score."
    )


def _settings(metric: object) -> str:
    """Return a metric with the settings that decide its numbers, also those at their default."""
    fields = getattr(metric, "__dataclass_fields__", {})
    shown = [f"{name} {getattr(metric, name)}" for name in fields if name in ("baseline", "patch", "radius")]
    name = str(metric).partition("(")[0]
    return f"{name} ({', '.join(shown)})" if shown else name
