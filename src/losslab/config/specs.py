"""Which tasks fit which data, and which networks fit both; imports neither torch nor Hydra.

The rows say what is known of the components of losslab before data are read and networks are made,
so that a command whose components do not fit is refused in a second. Tasks and networks check what
they are given by the same rows. Components of the user have none: they are built and tried on a
batch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Shape:
    """Shape of one sample.

    Attributes:
        what: what samples of this shape are.
        axes: names of the dimensions.
        least: least height and width of images; 0 for any.
    """

    what: str
    axes: tuple[str, ...]
    least: int = 0

    def __str__(self) -> str:
        """Name samples and dimensions, as in ``images (channels, height, width)``."""
        size = f" of at least {self.least} x {self.least} pixels" if self.least else ""
        return f"{self.what} ({', '.join(self.axes)}{',' if len(self.axes) == 1 else ''}){size}"


IMAGES = Shape("images", ("channels", "height", "width"))
NOT_TINY = replace(IMAGES, least=6)  # SSIM needs the neighbourhood of a pixel
VECTORS = Shape("vectors", ("features",))
CLOUDS = Shape("clouds", ("points", "dimensions"))
QUERIES = Shape("queries", ("documents", "features"))
CAPTIONED = Shape("images with texts", ("pixels + words",))
RATINGS = Shape("users with items", ("1 + items",))

# --- data -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DataSpec:
    """What is known of data before they are read.

    Attributes:
        targets: kind of the targets, see ``KINDS`` in ``losslab.data.kinds``; ``None`` if the
            targets decide.
        shape: shape of a sample; ``None`` if the samples decide.
        classes: number of classes, of pixels with the background; ``None`` if there are none, or
            the targets decide.
    """

    targets: str | None = None
    shape: Shape | None = None
    classes: int | None = None


def _fixed(*facts: Any) -> Callable[[Mapping[str, Any]], DataSpec]:
    return lambda options: DataSpec(*facts)


def _asked(shape: Shape | None) -> Callable[[Mapping[str, Any]], DataSpec]:
    """Return what is known of data whose targets are of the kind that an option says, or any."""
    return lambda options: DataSpec(
        None if options["target_kind"] == "auto" else options["target_kind"], shape
    )


_TABLES = {
    "breast_cancer": DataSpec("classes", VECTORS, 2),
    "iris": DataSpec("classes", VECTORS, 3),
    "wine": DataSpec("classes", VECTORS, 3),
    "diabetes": DataSpec("values", VECTORS),
}

DATA: dict[str, Callable[[Mapping[str, Any]], DataSpec]] = {
    "Digits": lambda options: DataSpec(
        "classes", VECTORS if options["flat"] else IMAGES, 2 if options["positive"] else 10
    ),
    **dict.fromkeys(
        ("MNIST", "FashionMNIST", "CIFAR10", "SVHN", "DigitsRetrieval", "MNISTRetrieval"),
        _fixed("classes", IMAGES, 10),
    ),
    **dict.fromkeys(
        ("ImageFolder", "Identities", "SyntheticIdentities"), _fixed("classes", IMAGES)
    ),
    "SklearnSet": lambda options: _TABLES.get(options["name"], DataSpec()),
    "Channel": lambda options: DataSpec(
        "classes", VECTORS, options["alphabet"] ** options["symbols"]
    ),
    "Ring": lambda options: DataSpec("classes", VECTORS, options["modes"]),
    **dict.fromkeys(("Regression", "CaliforniaHousing"), _fixed("values", VECTORS)),
    **dict.fromkeys(("Table", "OpenML"), _asked(VECTORS)),
    **dict.fromkeys(("Arrays", "HuggingFace"), _asked(None)),
    "ShapesSegmentation": lambda options: DataSpec("masks", IMAGES, options["classes"]),
    "OxfordPets": _fixed("masks", IMAGES, 2),
    "VOCSegmentation": _fixed("masks", IMAGES, 21),
    "ImageMasks": _fixed("masks", IMAGES),
    "ShapesBoxes": lambda options: DataSpec("boxes", IMAGES, options["classes"]),
    **dict.fromkeys(("Coco", "Voc"), _fixed("boxes", IMAGES)),
    "DigitSequences": _fixed("sequences", IMAGES),
    "DigitsCaptions": _fixed("pairs", CAPTIONED),
    "PointCloud": _fixed("classes", CLOUDS, 5),
    "Meshes": _fixed("values", CLOUDS),
    **dict.fromkeys(("Ranking", "Letor"), _fixed("relevance", QUERIES)),
    **dict.fromkeys(("SyntheticRatings", "MovieLens"), _fixed("relevance", RATINGS)),
    "Environments": _fixed("returns"),
}
"""What is known of the data of losslab, by their class, given their options."""

# --- tasks and networks ---------------------------------------------------------------------------

VECTOR, IMAGE, CLOUD = "one vector per sample", "one image per sample", "one cloud per sample"
MAPS, STEPS, SCORES = "maps of logits", "logits per time step", "one score per item"
BOXES, PAIR = "logits and boxes at places", "embeddings of image and text"
GENERATOR = "samples of random codes"
"""What a network returns."""


@dataclass(frozen=True)
class TaskSpec:
    """What a task needs of data and network.

    Attributes:
        name: its choice in conf/.
        targets: kinds of targets that it is for; none for any.
        expects: these targets, in words.
        returns: what networks return that fits it; first what is meant for it, then what may be
            read as that.
        shape: shape of the samples that it is for; ``None`` for any.
        advice: what an error adds about targets of another kind.
    """

    name: str
    targets: tuple[str, ...]
    expects: str
    returns: tuple[str, ...]
    shape: Shape | None = None
    advice: str = ""


TASKS: dict[str, TaskSpec] = {
    "ClassificationTask": TaskSpec("classification", ("classes",), "class targets", (VECTOR,)),
    "MultiLabelTask": TaskSpec(
        "multilabel", ("multilabel",), "(N, K) targets of 0 and 1", (VECTOR,)
    ),
    "RegressionTask": TaskSpec(
        "regression",
        ("values",),
        "values",
        (VECTOR,),
        advice=", or data.target_kind=values if the targets are numbers",
    ),
    # one map of logits is an image of one channel, too
    "SegmentationTask": TaskSpec("segmentation", ("masks",), "mask targets", (MAPS, IMAGE)),
    "DetectionTask": TaskSpec("detection", ("boxes",), "boxes", (BOXES,)),
    "LocalizationTask": TaskSpec("localization", ("boxes",), "boxes", (VECTOR,)),
    "MetricLearningTask": TaskSpec("metric_learning", ("classes",), "class targets", (VECTOR,)),
    "ImageTextTask": TaskSpec("image_text", ("pairs",), "pairs of images and texts", (PAIR,)),
    "GenerationTask": TaskSpec(
        "generation", ("classes",), "class targets, its modes", (GENERATOR,)
    ),
    # maps of logits are an image, too, if there are as many as channels
    "ReconstructionTask": TaskSpec("reconstruction", (), "", (IMAGE, MAPS), shape=NOT_TINY),
    "PointCloudTask": TaskSpec("pointcloud", (), "", (CLOUD,), shape=CLOUDS),
    "RankingTask": TaskSpec(
        "ranking", ("relevance", "values", "multilabel"), "documents with grades", (SCORES,)
    ),
    "RecommendationTask": TaskSpec(
        "recommendation", ("relevance",), "ratings of items by users", (SCORES,)
    ),
    # the places of a detector can be read as time steps
    "SequenceTask": TaskSpec("sequences", ("sequences",), "sequences of labels", (STEPS, BOXES)),
    "PolicyControl": TaskSpec("policy_gradient", ("returns",), "an environment", (VECTOR,)),
    "ValueControl": TaskSpec("q_learning", ("returns",), "an environment", (VECTOR,)),
}
"""The tasks of losslab, by the class of their definition."""

TASK_OF = {
    "classes": "classification",
    "values": "regression",
    "multilabel": "multilabel",
    "masks": "segmentation",
    "boxes": "localization",
}
"""Task of each kind of targets that your own data can have."""


@dataclass(frozen=True)
class ModelSpec:
    """What a network takes and returns.

    Attributes:
        title: what errors call it; the name of an option in braces stands for its value.
        returns: what it returns for a sample.
        shape: shape of the samples that it takes; ``None`` for any.
        advice: what an error adds about samples of another shape.
    """

    title: str
    returns: str
    shape: Shape | None = None
    advice: str = ""


_ANY_SHAPE = ": use model=mlp, which takes any shape"

MODELS: dict[str, ModelSpec] = {
    "MLP": ModelSpec("MLP", VECTOR),
    "CNN": ModelSpec("CNN", VECTOR, IMAGES, _ANY_SHAPE),
    "torchvision_model": ModelSpec("{name}", VECTOR, IMAGES, _ANY_SHAPE),
    "timm_model": ModelSpec("timm", VECTOR, IMAGES, _ANY_SHAPE),
    "UNet": ModelSpec("UNet", MAPS, IMAGES),
    "smp_model": ModelSpec("smp", MAPS, IMAGES, _ANY_SHAPE),
    "Detector": ModelSpec("detector", BOXES, IMAGES, _ANY_SHAPE),
    "torchvision_detector": ModelSpec("{name}", BOXES, IMAGES, _ANY_SHAPE),
    "ConvAutoencoder": ModelSpec("ConvAutoencoder", IMAGE, IMAGES),
    "PointAutoencoder": ModelSpec("model=pointnet", CLOUD, CLOUDS),
    "Scorer": ModelSpec("model=scorer", SCORES, QUERIES),
    "Factorization": ModelSpec("model=factorization", SCORES, RATINGS),
    "CRNN": ModelSpec("CRNN", STEPS, IMAGES),
    "DualEncoder": ModelSpec("model=dual_encoder", PAIR, CAPTIONED),
    "GAN": ModelSpec("GAN", GENERATOR),
}
"""The networks of losslab, by their class or function."""

SEGMENTS = ("fcn_", "deeplabv3_", "lraspp_")
"""Beginnings of the names of torchvision's networks for segmentation."""


def require_targets(task: TaskSpec, targets: str) -> None:
    """Check that a task is for targets of a kind.

    Raises:
        ValueError: if it is not; the message names the task that is.
    """
    if task.targets and targets not in task.targets:
        other = f": add task={TASK_OF[targets]}" if targets in TASK_OF else ""
        raise ValueError(
            f"task={task.name} expects {task.expects}, got {targets}{other}"
            f"{task.advice if other else ''}"
        )


def require_shape(
    title: str, expected: Shape | None, got: Sequence[int | str], advice: str = ""
) -> None:
    """Check that samples have the dimensions that a task or a network expects.

    Args:
        title: what the error calls it.
        expected: the shape; ``None`` for any.
        got: sizes of the dimensions of a sample, or their names.
        advice: what the error adds.

    Raises:
        ValueError: if they do not.
    """
    sizes = [each for each in got[1:] if isinstance(each, int)]
    if expected is not None and (
        len(got) != len(expected.axes) or min(sizes, default=expected.least) < expected.least
    ):
        shape = f"({', '.join(map(str, got))}{',' if len(got) == 1 else ''})"
        raise ValueError(f"{title} expects {expected}, got samples of shape {shape}{advice}")


def require_samples(network: str, got: Sequence[int | str], /, **options: Any) -> None:
    """Check that samples have a shape that a network takes.

    Args:
        network: name of its class or function.
        got: sizes of the dimensions of a sample, or their names.
        options: options of the network, one of which may be what errors call it.

    Raises:
        ValueError: if they do not.
    """
    model = MODELS[network]
    require_shape(model.title.format(**options), model.shape, got, model.advice)
