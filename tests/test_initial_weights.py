"""Initial weights from a checkpoint: ckpt_path=FILE."""

import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from kinds_of_run import DIGITS, LINE, config_of
from losslab.components import build_components, fingerprint
from losslab.config.errors import UserError
from losslab.initial_weights import start_from
from losslab.models.notes import notes_of
from losslab.runs.record import read_record
from losslab.training import check, evaluate, train


def network(classes=10):
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, classes))


def filled(value, classes=10):
    state = network(classes).state_dict()
    return {name: torch.full_like(tensor, value) for name, tensor in state.items()}


def renamed(prefix, state):
    return {prefix + name: value for name, value in state.items()}


FILES = {
    "a state dict": filled(2.0),
    "of several devices": renamed("module.", filled(2.0)),
    "of Lightning": {
        "state_dict": renamed("net.", filled(2.0)) | {"loss.weight": torch.ones(3)},
        "epoch": 3,
    },
    "compiled": {"state_dict": renamed("model._orig_mod.", filled(2.0))},
}


class Lazy(nn.Module):
    """Layers that take their number of inputs from a first batch."""

    def __init__(self, width: int = 5, *, used: bool = True) -> None:
        super().__init__()
        layers = nn.LazyLinear(width), nn.Dropout(), nn.LazyLinear(10)
        self.layers = nn.Sequential(nn.Flatten(), *layers)
        self.layers[2].eval()
        self.unused = None if used else nn.LazyLinear(3)

    def forward(self, inputs):
        return self.layers(inputs)


LAZY = ["data=digits", "loss=cross_entropy", f"model._target_={__name__}.Lazy"]


def test_lazy_layers_get_their_sizes_and_the_weights_of_the_seed():
    first, again, other = (
        build_components(config_of(*LAZY, f"seed={seed}")).network for seed in (1, 1, 2)
    )
    assert [tuple(each.shape) for each in first.parameters()] == [(5, 64), (5,), (10, 5), (10,)]
    assert first.training
    assert not first.layers[2].training, "a mode that the constructor set stays"
    assert fingerprint(first.parameters()) == fingerprint(again.parameters())
    assert fingerprint(first.parameters()) != fingerprint(other.parameters())


def test_lazy_layers_that_get_no_size():
    with pytest.raises(UserError, match=r"no size is known for unused\.weight, which an input"):
        build_components(config_of(*LAZY, "+model.used=false"))
    with pytest.raises(UserError, match=r"lazy layers, .* batch of shape \(2, 1, 8, 8\) must give"):
        build_components(config_of(*LAZY, "+model.width=-1"))


@pytest.mark.parametrize("content", FILES.values(), ids=FILES.keys())
def test_weights_of_a_file(content, tmp_path):
    torch.save(content, tmp_path / "x.pt")
    own = network()
    start_from(own, str(tmp_path / "x.pt"))
    assert notes_of(own) == (f"weights: 4 of 4 tensors from ckpt_path={tmp_path / 'x.pt'}",)
    assert all(bool((value == 2).all()) for value in own.state_dict().values())


def test_what_does_not_fit_keeps_its_initial_values(tmp_path):
    saved = filled(2.0, classes=3) | {"old": torch.ones(1)}
    del saved["0.bias"]
    torch.save(saved, tmp_path / "x.pt")
    own = network()
    before = {name: value.clone() for name, value in own.state_dict().items()}
    start_from(own, str(tmp_path / "x.pt"))
    assert notes_of(own) == (
        f"weights: 1 of 4 tensors from ckpt_path={tmp_path / 'x.pt'}; of another size: "
        "2.weight (3, 4) for (10, 4), 2.bias (3,) for (10,); missing in it: 0.bias; "
        "not in the network: old",
    )
    after = own.state_dict()
    assert bool((after["0.weight"] == 2).all())
    assert all(torch.equal(after[name], before[name]) for name in before if name != "0.weight")


class Harmful:
    def __reduce__(self):
        return print, ("it ran",)


def _unfinished(folder: Path) -> Path:
    train(config_of(*LINE), folder)
    record = (folder / "record.json").read_text()
    (folder / "record.json").write_text(record.replace('"done"', '"interrupted"'))
    return folder


REFUSED = {
    "no file": (lambda path: None, "x.pt does not exist"),
    "an empty folder": (lambda path: path.mkdir(), "must be a checkpoint or the folder of a run"),
    "text": (lambda path: path.write_text("x"), "is not a file of tensors that can be read"),
    "code": (lambda path: path.write_bytes(pickle.dumps(Harmful())), "without running code"),
    "a whole network": (lambda path: torch.save(network(), path), r"network.state_dict\(\)"),
    "no weights": (lambda path: torch.save({"epoch": 1}, path), "has no state_dict"),
    "another network": (
        lambda path: torch.save({"conv.weight": torch.ones(2)}, path),
        r"has no weights of this network: it has conv.weight \(2,\), but the network "
        r"0.weight \(4, 3\), 0.bias \(4,\), ",
    ),
    "an unfinished run": (_unfinished, "resume=.*x.pt trains it on, and ckpt_path=.*last.ckpt"),
}


@pytest.mark.parametrize(("write", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_in_one_line(write, words, tmp_path, capsys):
    write(tmp_path / "x.pt")
    with pytest.raises(UserError, match=words) as refused:
        start_from(network(), str(tmp_path / "x.pt"))
    assert "\n" not in str(refused.value)
    assert "it ran" not in capsys.readouterr().out


def test_a_run_starts_from_the_weights_of_another(tmp_path):
    train(config_of(*DIGITS), tmp_path / "first")
    options = [*DIGITS, "seed=1", f"ckpt_path={tmp_path / 'first'}"]
    config = config_of(*options)
    best = tmp_path / "first" / "checkpoints" / "best.ckpt"
    saved = torch.load(best, weights_only=True)["state_dict"]
    own = [value for name, value in saved.items() if name.startswith("network.")]
    assert build_components(config).weights_hash == fingerprint(own)

    train(config, tmp_path / "second")
    record = read_record(tmp_path / "second")
    assert record["hashes"]["weights"] == fingerprint(own)
    [note] = record["network_notes"]
    assert note.startswith("weights: 4 of 4 tensors from ckpt_path=")
    other = build_components(config_of(*DIGITS, "seed=1"))
    assert record["hashes"]["data"] == other.data.fingerprint()

    (tmp_path / "first").rename(tmp_path / "moved")  # the run has its own weights now
    assert evaluate(tmp_path / "second", ("val",))["val"]["accuracy"] > 0

    wider = ["model.hidden=[17]", f"ckpt_path={tmp_path / 'moved'}"]
    [note] = check(
        config_of(*[each for each in DIGITS if "hidden" not in each], *wider)
    ).network_notes
    assert "tensors from ckpt_path=" in note
    assert "; of another size: " in note
