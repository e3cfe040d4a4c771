"""The contract of an objective, its algebra and its strings; units, reference images and vectors, plain functions."""

from dreamopt.image.reference import ImageValue, ReferenceImage
from dreamopt.objective.bases import CoupledObjective, UnitObjective
from dreamopt.objective.blocks import Block, spanned
from dreamopt.objective.function import Function, from_function
from dreamopt.objective.objective import (
    BARE_LAYER,
    Activations,
    Layers,
    Objective,
    PerSample,
    Scaled,
    Sum,
    Windowed,
    common_batch,
    each,
    terms,
)
from dreamopt.objective.reference_objectives import ImageReferenceObjective, VectorObjective
from dreamopt.objective.references import (
    BoundTensors,
    Vector,
    frozen_image,
    frozen_images,
    frozen_vectors,
    per_item_vectors,
    read_vector,
    vectors_of,
)
from dreamopt.objective.strings import as_objective, objectives, parse
from dreamopt.objective.units import (
    Unit,
    frozen_layers,
    frozen_units,
    highest,
    per_item,
    pick,
    require_choice,
    spatial_columns,
    target_string,
    with_units,
)
from dreamopt.parts.checks import ANY, NOT_NEGATIVE, POSITIVE, Fields, check_number, check_whole
from dreamopt.parts.part import INPUT_FILE

__all__ = [
    "ANY",
    "BARE_LAYER",
    "INPUT_FILE",
    "NOT_NEGATIVE",
    "POSITIVE",
    "Activations",
    "Block",
    "BoundTensors",
    "CoupledObjective",
    "Fields",
    "Function",
    "ImageReferenceObjective",
    "ImageValue",
    "Layers",
    "Objective",
    "PerSample",
    "ReferenceImage",
    "Scaled",
    "Sum",
    "Unit",
    "UnitObjective",
    "Vector",
    "VectorObjective",
    "Windowed",
    "as_objective",
    "check_number",
    "check_whole",
    "common_batch",
    "each",
    "from_function",
    "frozen_image",
    "frozen_images",
    "frozen_layers",
    "frozen_units",
    "frozen_vectors",
    "highest",
    "objectives",
    "parse",
    "per_item",
    "per_item_vectors",
    "pick",
    "read_vector",
    "require_choice",
    "spanned",
    "spatial_columns",
    "target_string",
    "terms",
    "vectors_of",
    "with_units",
]
