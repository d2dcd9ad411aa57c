"""Networks of torchvision, timm and segmentation_models_pytorch, fitted to data and task."""

import difflib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models

from losslab.config.extras import not_installed
from losslab.config.specs import require_samples
from losslab.models.fitting import Stem, fit_channels, is_small, shrink_stem
from losslab.models.notes import add_note
from losslab.models.weights import load_file, load_weights

SOURCES = {"checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"}
"""Options of timm with which a saved config could have it unpickle any file."""
HUB = "hub"
"""Value of ``weights`` for those that the library itself downloads."""
SMALL_PATCH = 4
"""Pixels of the patches of a vision transformer for small images."""


def torchvision_model(
    input_shape: Sequence[int],
    outputs: int,
    name: str = "resnet18",
    stem: Stem = "auto",
    weights: str | None = None,
    **options: Any,
) -> nn.Module:
    """Make a network of torchvision for classes, values, embeddings or masks.

    Args:
        input_shape: (channels, height, width) of an image.
        outputs: outputs per image, or maps of logits of a network for segmentation.
        name: its name in ``torchvision.models``.
        stem: ``"small"`` begins with a 3 x 3 convolution of stride 1 and no pooling (a vision
            transformer with patches of 4 pixels), ``"standard"`` as torchvision's; ``"auto"`` is
            small for images below 64 pixels, unless there are weights.
        weights: file with a ``state_dict``, ``"hub"`` for torchvision's own, ``None`` for fresh
            ones.
        options: further options of torchvision's function, such as ``dropout``.

    Raises:
        ValueError: if the images or the weights do not fit.

    Example:
        >>> torchvision_model((1, 28, 28), 10)(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """
    require_samples("torchvision_model", input_shape, name=name)
    segments = name in models.list_models(module=models.segmentation)
    if not segments and name not in models.list_models(module=models):
        raise unknown_name(name, "torchvision.models", models.list_models(module=models))
    network: nn.Module
    small = is_small(stem, input_shape, weights) and not segments
    if name.startswith("vit_"):
        network = _vision_transformer(name, input_shape, outputs, small=small, **options)
    else:
        fresh = {"weights": None} | ({"weights_backbone": None} if segments else {})
        network = models.get_model(name, num_classes=outputs, **fresh, **options)
        if small:
            shrink_stem(network)
    fit_channels(network, input_shape[0])
    if weights == HUB:
        load_weights(network, *torchvision_weights(name))
    elif weights is not None:
        load_file(network, weights)
    return LogitMaps(network) if segments else network


def _vision_transformer(
    name: str, input_shape: Sequence[int], outputs: int, *, small: bool, **options: Any
) -> Any:
    own = int(name.rpartition("_")[2])
    patch = SMALL_PATCH if small else own
    height, width = input_shape[1:]
    if height != width or height % patch:
        raise ValueError(
            f"{name} expects squares whose side is a multiple of {patch} pixels, got {height} x "
            f"{width}: set data.image_size"
        )
    network = models.get_model(
        name, weights=None, num_classes=outputs, image_size=height * own // patch, **options
    )
    if small:
        features = network.conv_proj.out_channels
        network.conv_proj = nn.Conv2d(3, features, kernel_size=patch, stride=patch)
        network.patch_size, network.image_size = patch, height
        add_note(network, f"patches: {patch} x {patch} pixels (model.stem=standard: {own} x {own})")
    return network


class LogitMaps(nn.Module):
    """Network for segmentation of torchvision, which returns its maps of logits by name.

    Args:
        network: the network.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logit maps of the images."""
        maps: Tensor = self.network(images)["out"]
        return maps


def torchvision_weights(name: str) -> tuple[dict[str, Tensor], str]:
    """Return torchvision's weights of a network, downloaded once, and the name of their file.

    Raises:
        ValueError: if they are not at hand and cannot be downloaded.
    """
    url = models.get_model_weights(name).DEFAULT.url
    file = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    try:
        state = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except Exception as error:  # a network may fail in many ways, and the file be damaged
        raise ValueError(_not_at_hand(url, error, f"save it as {file}")) from None
    return state, file.name


def _not_at_hand(what: str, error: Exception, advice: str) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return f"model.weights=hub needs {what} ({reason}): {advice}, or use model.weights=FILE"


def timm_model(
    input_shape: Sequence[int],
    outputs: int,
    name: str = "resnet18",
    stem: Stem = "auto",
    weights: str | None = None,
    **options: Any,
) -> nn.Module:
    """Make a network of timm, see :func:`torchvision_model`.

    Args:
        input_shape: (channels, height, width) of an image.
        outputs: outputs per image.
        name: its name in timm.
        stem: as for torchvision, but networks that embed patches keep theirs: ``patch_size=4``.
        weights: file with a ``state_dict``, ``"hub"`` for timm's own, ``None`` for fresh ones.
        options: further options of ``timm.create_model``.

    Raises:
        ValueError: if timm is not installed, or images or weights do not fit.
    """
    require_samples("timm_model", input_shape)
    timm = _installed("timm")
    if not timm.is_model(name):
        raise unknown_name(name, "timm.list_models()", timm.list_models())
    if given := sorted(options.keys() & SOURCES):
        raise ValueError(f"{given[0]} is not an option here: use model.weights=FILE")
    pretrained = timm.get_pretrained_cfg(name)
    if weights == HUB:
        _require_repository(pretrained and pretrained.hf_hub_id)
    if pretrained is not None and pretrained.fixed_input_size:
        options.setdefault("img_size", tuple(input_shape[1:]))
    network: nn.Module = timm.create_model(
        name, pretrained=weights == HUB, num_classes=outputs, in_chans=input_shape[0], **options
    )
    if is_small(stem, input_shape, weights) and not hasattr(network, "patch_embed"):
        shrink_stem(network)
    if weights == HUB:
        add_note(network, f"weights: those of timm.create_model({name}, pretrained=True)")
    elif weights is not None:
        load_file(network, weights)
    return network


def smp_model(
    input_shape: Sequence[int],
    outputs: int,
    architecture: str = "unet",
    encoder: str = "resnet34",
    weights: str | None = None,
    **options: Any,
) -> nn.Module:
    """Make a network for segmentation of segmentation_models_pytorch.

    Args:
        input_shape: (channels, height, width) of an image.
        outputs: maps of logits per image.
        architecture: ``"unet"``, ``"fpn"``, ``"deeplabv3plus"`` ...
        encoder: name of the encoder.
        weights: file with a ``state_dict`` of the encoder or the whole network, ``"hub"`` for
            those of the encoder on ImageNet, ``None`` for fresh ones.
        options: further options of ``segmentation_models_pytorch.create_model``.

    Raises:
        ValueError: if the library is not installed, or images or weights do not fit.
    """
    require_samples("smp_model", input_shape)
    smp = _installed("segmentation_models_pytorch")
    if weights == HUB and encoder in smp.encoders.encoders:
        known = smp.encoders.encoders[encoder]["pretrained_settings"]
        _require_repository(known.get("imagenet", {}).get("repo_id"))
    network: nn.Module = smp.create_model(
        architecture,
        encoder_name=encoder,
        encoder_weights="imagenet" if weights == HUB else None,
        in_channels=input_shape[0],
        classes=outputs,
        **options,
    )
    if weights == HUB:
        add_note(network, f"weights: {encoder} of segmentation_models_pytorch, from ImageNet")
    elif weights is not None:
        load_file(network, weights)
    return network


def unknown_name(name: str, where: str, names: Sequence[str]) -> ValueError:
    """Return an error about a name that is not one of those that are somewhere."""
    close = difflib.get_close_matches(name, names, n=1)
    advice = f": did you mean {close[0]}?" if close else ""
    return ValueError(f"model.name must be one of {where}, got {name}{advice}")


def _installed(module: str) -> Any:
    """Import an optional library.

    Raises:
        ValueError: if it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise ValueError(not_installed(module)) from None


def _require_repository(repository: str | None) -> None:
    """Check that weights are in the cache of huggingface_hub or can be downloaded.

    A download without a network is tried for a minute.

    Raises:
        ValueError: if they cannot.
    """
    hub = _installed("huggingface_hub")
    if repository is None:
        raise ValueError("model.weights=hub: the library has no weights of this network")
    try:
        hub.snapshot_download(repository, local_files_only=True)
    except Exception:  # not in the cache
        try:
            hub.model_info(repository, timeout=10)
        except Exception as error:
            cache = hub.constants.HF_HUB_CACHE
            raise ValueError(
                _not_at_hand(
                    f"huggingface.co/{repository}",
                    error,
                    f"copy its folder from the cache of a computer with a network to {cache}",
                )
            ) from None
