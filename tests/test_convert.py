"""``losslab convert`` and docs/dictionary.md, both from the table in losslab.dictionary."""

import pytest

from load_script import load_script
from losslab.commands.convert import main
from losslab.dictionary import ROWS

page = load_script("dictionary")


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (
            "monai.losses.TverskyLoss alpha=0.3 beta=0.7",
            "loss=tversky loss.fp_weight=0.3 loss.fn_weight=0.7",
        ),
        (
            "keras.losses.Tversky alpha=0.3 beta=0.7",
            "loss=tversky loss.per_image=false loss.fn_weight=0.3 loss.fp_weight=0.7",
        ),
        (
            "monai.losses.DiceLoss sigmoid=True squared_pred=true smooth_nr=1 smooth_dr=1",
            "loss=dice loss.smooth=1 loss.power=2",
        ),
        ("monai.losses.DiceLoss sigmoid=True smooth_nr=1e-5", "loss=dice loss.smooth=1e-05"),
        (
            "segmentation_models_pytorch.losses.DiceLoss smooth=1",
            "loss=dice loss.per_image=false loss.smooth=2",
        ),
        ("torch.nn.MSELoss reduction=sum", "loss=sse"),
        ("torch.nn.L1Loss reduction=sum", "loss=mae +loss.reduction=sum"),
        ("torchvision.ops.sigmoid_focal_loss alpha=-1", "loss=focal"),
        ("torchvision.ops.sigmoid_focal_loss", "loss=focal loss.alpha=0.25"),
        ("torch.nn.BCEWithLogitsLoss pos_weight=[1,2.5]", "loss=bce loss.pos_weight=[1,2.5]"),
        ("kornia.losses.FocalLoss alpha=null gamma=1", "loss=focal loss.gamma=1"),
        (
            "pytorch_metric_learning.losses.TripletMarginLoss reducer=MeanReducer",
            "loss=triplet loss.margin=0.05",
        ),
    ],
)
def test_the_line(capsys, typed, line):
    assert main(typed.split()) == 0
    assert capsys.readouterr().out == f"{line}\n"


def test_notes_are_apart_from_the_line(capsys):
    main(["torch.nn.MultiMarginLoss", "reduction=none"])
    assert capsys.readouterr().err.splitlines() == [
        "note: theirs is 1/C times ours (C classes)",
        "note: reduction=none: ours is the mean",
    ]
    main(["torch.nn.CrossEntropyLoss"])
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "note: for class probabilities: loss=categorical_cross_entropy"
    main(["segmentation_models_pytorch.losses.TverskyLoss", "mode=binary"])
    assert "focal_tversky" not in capsys.readouterr().err
    main(["torch.nn.NLLLoss"])
    assert capsys.readouterr().err == "note: theirs reads log-probabilities, ours logits\n"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("keras.losses.CategoricalHinge", "enters the largest of the others as 0"),
        (
            "monai.losses.DiceLoss sigmoid=True weight=[1,2]",
            "weight has no counterpart in loss=dice",
        ),
        (
            "monai.losses.DiceLoss sigmoid=True smooth_nr=1",
            "smooth_nr and smooth_dr must be equal: both are smooth of ours",
        ),
        ("keras.losses.BinaryCrossentropy label_smoothing=1", "only label_smoothing=0"),
        ("monai.losses.DiceFocalLoss sigmoid=True", "has cross-entropy beside Dice, not focal"),
        ("kornia.losses.DiceLoss average=micro", "one minus the mean probability"),
        ("kornia.losses.DiceLoss average=macro weight=[1]", "weight has no counterpart"),
        ("segmentation_models_pytorch.losses.FocalLoss mode=multiclass", "one-vs-rest"),
        ("segmentation_models_pytorch.losses.DiceLoss smooth=a", "smooth must be a number, got a"),
        ("monai.losses.FocalLoss use_softmax=True alpha=0.3", "only alpha=None (computed in"),
        ("kornia.losses.FocalLoss alpha=0.5", "all others by alpha: give ours a list"),
        ("TverskyLoss", "did you mean monai.losses.TverskyLoss or segm"),
        ("torch.nn.HubrLoss", "did you mean torch.nn.HuberLoss"),
        ("foo", "losslab probe loss._target_=foo"),
        ("torch.nn.HuberLoss delta=1 delta=2", "delta is given twice"),
        ("torch.nn.HuberLoss 2", "expected OPTION=VALUE, got '2'"),
    ],
)
def test_one_line_says_why_there_is_none(capsys, typed, words):
    with pytest.raises(SystemExit) as stopped:
        main(typed.split())
    said = capsys.readouterr()
    assert stopped.value.code == 2
    assert said.out == ""
    assert words in said.err
    assert said.err.count("\n") == 1


def test_the_page_is_that_of_the_table():
    text = page.PAGE.read_text()
    assert text.startswith(page.HEAD)
    assert text.endswith(page.body())


def test_the_libraries_of_the_page():
    assert len({row.library for row in ROWS}) == 9
    assert len(ROWS) >= 80
