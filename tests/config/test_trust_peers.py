"""Of other libraries, a saved run may name the loss modules, and nothing else."""

import inspect
import shutil
from pathlib import Path

import pytest
import yaml
from torch import nn

from losslab.config import user_code
from losslab.config.errors import UserError
from losslab.saved_config import saved_config

RUN = Path(__file__).parents[1] / "past" / "v0_1" / "runs" / "focal"

# package of losses: modules that download something, and what else the library has
PEERS = {
    "monai.losses": (
        {"PerceptualLoss"},
        """
        monai.losses.perceptual.PerceptualLoss monai.losses.dice.warnings.sys.exit
        monai.bundle.run monai.bundle.ConfigParser monai.bundle.load monai.apps.download_url
        monai.networks.nets.UNet monai.data.Dataset monai.utils.misc.os.system
        """,
    ),
    "segmentation_models_pytorch.losses": (
        set(),
        """
        segmentation_models_pytorch.from_pretrained segmentation_models_pytorch.create_model
        segmentation_models_pytorch.Unet segmentation_models_pytorch.losses.dice.to_tensor
        segmentation_models_pytorch.losses._functional.soft_dice_score
        """,
    ),
    "timm.loss": (
        set(),
        """
        timm.create_model timm.models.load_checkpoint timm.models.load_state_dict_from_hf
        timm.loss.cross_entropy.torch.load timm.utils.freeze
        """,
    ),
    "kornia.losses": (
        set(),
        """
        kornia.losses.dice_loss kornia.losses.ssim_loss
        kornia.losses.dice.torch.hub.load kornia.io.load_image kornia.feature.LoFTR
        """,
    ),
    "pytorch_metric_learning.losses": (
        set(),
        """
        pytorch_metric_learning.miners.TripletMarginMiner
        pytorch_metric_learning.trainers.BaseTrainer
        pytorch_metric_learning.losses.EmbeddingRegularizerMixin
        pytorch_metric_learning.losses.TripletMarginLoss.forward
        pytorch_metric_learning.utils.common_functions.torch.load
        """,
    ),
}
EACH = pytest.mark.parametrize("package", PEERS)


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Read a saved run whose loss is replaced by another target."""
    monkeypatch.chdir(tmp_path)
    user_code.use([])
    folder = shutil.copytree(RUN, tmp_path / "run")
    config = yaml.safe_load((folder / "config.yaml").read_text())

    def with_loss(target):
        loss = {"_target_": "losslab.losses.FocalLoss", "inner": [{"_target_": target}]}
        (folder / "config.yaml").write_text(yaml.safe_dump(config | {"loss": loss}))
        return saved_config(folder)

    return with_loss


def names_in(package):
    """Return loss modules of an installed library, and its functions and other classes."""
    found = pytest.importorskip(package, reason="pip install 'losslab[peers]' kornia timm")
    names = {name: getattr(found, name) for name in dir(found) if not name.startswith("_")}
    classes = {name for name, each in names.items() if inspect.isclass(each)}
    functions = {name for name, each in names.items() if inspect.isroutine(each)}
    losses = {name for name in classes if issubclass(names[name], nn.Module)}
    return losses, (classes | functions) - losses


@EACH
def test_loss_modules_are_known(package, read):
    losses, _ = names_in(package)
    assert len(losses) >= 8
    for name in losses - PEERS[package][0]:
        assert read(f"{package}.{name}").loss.inner[0]["_target_"] == f"{package}.{name}"


@EACH
def test_nothing_else_is(package, read):
    _, others = names_in(package)
    downloading, listed = PEERS[package]
    targets = [f"{package}.{name}" for name in others | downloading] + listed.split()
    for target in targets:
        with pytest.raises(UserError, match=rf"would run {target} \(loss\.inner\.0\)"):
            read(target)
