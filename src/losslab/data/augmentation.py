"""Random transforms of training samples, of torchvision or of the user."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

Transform = Callable[..., Any]


class Augmentation:
    """Transforms of samples, one after the other.

    Images ``(C, H, W)`` and masks ``(H, W)`` become ``Image`` and ``Mask`` of
    :mod:`torchvision.tv_tensors`, so that transforms of ``torchvision.transforms.v2`` move both
    alike. A function of your own is called with the image or, if there is a mask, with both.

    Args:
        transforms: the transforms.

    Example:
        >>> import torch
        >>> from torchvision.transforms import v2
        >>> flip = Augmentation([v2.RandomHorizontalFlip(p=1)])
        >>> image, mask = flip(torch.tensor([[[0.0, 1.0]]]), torch.tensor([[0, 1]]))
        >>> image.tolist(), mask.tolist()
        ([[[1.0, 0.0]]], [[1, 0]])
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = tuple(transforms)
        for transform in self.transforms:
            if not callable(transform):
                raise ValueError(
                    f"augment must be transforms, which are called with an image, got "
                    f"{transform!r:.60}"
                )

    def __call__(self, image: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Transform an input and, if the target is a mask, its mask."""
        from torchvision import tv_tensors  # noqa: PLC0415 (runs without augmentation do without)

        shown: Any = tv_tensors.Image(image) if image.ndim == 3 else image
        if mask is None:
            for transform in self.transforms:
                shown = transform(shown)
            return _plain(shown), None
        both: Any = shown, tv_tensors.Mask(mask)
        for transform in self.transforms:
            both = transform(*both)
        return _plain(both[0]), _plain(both[1])


def _plain(values: Any) -> Tensor:
    """Return what a transform returned as a plain tensor."""
    if not isinstance(values, Tensor):
        raise TypeError(f"a transform must return a tensor, got {type(values).__name__}")
    return values.as_subclass(Tensor)
