"""``losslab information``, and the measures of known distributions that it prints."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy

from losslab import information
from losslab.commands.information import main

P, Q = [0.5, 0.3, 0.2, 0.0], [0.1, 0.2, 0.3, 0.4]


def test_the_measures_are_those_of_scipy():
    kl = scipy_entropy(P, Q, base=2)
    assert information.entropy(P) == pytest.approx(scipy_entropy(P, base=2))
    assert information.kl_divergence(P, Q) == pytest.approx(kl)
    assert information.cross_entropy(P, Q) == pytest.approx(scipy_entropy(P, base=2) + kl)
    joint = scipy_entropy(np.outer(P, Q).ravel(), base=2)
    assert information.entropy(information.independent(P, Q)) == pytest.approx(joint)
    assert information.noise_entropy(0.3, 4) == pytest.approx(
        scipy_entropy([0.7, 0.1, 0.1, 0.1], base=2)
    )


def test_impossible_outcomes_have_infinite_information_that_counts_only_if_they_occur():
    assert information.self_information(0) == math.inf
    assert information.entropy([1.0, 0.0]) == 0
    assert information.kl_divergence([0.5, 0.5], [1.0, 0.0]) == math.inf
    assert information.cross_entropy([0.5, 0.5], [1.0, 0.0]) == math.inf


def test_equal_distributions_do_not_diverge():
    p = [1 / 3] * 3
    assert information.kl_divergence(p, p) == 0


def test_one_distribution(capsys):
    assert main(["0.5,0.25,1/4"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:4] == [
        ["1", "0.5000", "1.000", "0.6931"],
        ["2", "0.2500", "2.000", "1.386"],
        ["3", "0.2500", "2.000", "1.386"],
    ]
    assert ["entropy", "H(p)", "1.500", "bits", "1.040", "nats"] in lines
    assert " ".join(lines[-1]).endswith("H(p x p) = 3.000 = 1.500 + 1.500 bits, information adds")


def test_two_distributions(capsys):
    assert main(["0.5,0.5", "0.9,0.1"]) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert lines[2] == ["2", "0.5000", "1.000", "0.1000", "3.322"]
    cross = -0.5 * math.log2(0.9) - 0.5 * math.log2(0.1)
    assert f"H(p, q) = H(p) + KL(p||q): {cross:.3f} = 1.000 + {cross - 1:.3f} bits" in out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("0.5,0.4", "the probabilities of p must sum to 1, got 0.9; write thirds as 1/3"),
        ("0.333,0.333,0.333", "must sum to 1, got 0.999"),
        ("-0.5,1.5", "the probabilities of p must be in [0, 1], got -0.5"),
        ("0.5,0.5 -.1,1.1", "the probabilities of q must be in [0, 1], got -.1"),
        ("0.5,0.5 0.2,0.3,0.5", "the same outcomes, got 2 for p and 3 for q"),
        ("0.5,0.5 1,0", "infinite: q excludes outcome 2, which has a probability of 0.5"),
        ("a,b", "p must be probabilities such as 0.5,0.25,0.25 or 1/3,2/3, got a"),
        ("0.5,,0.5", "got nothing"),
        ("1/0,1", "got 1/0"),
        ("nan,1", "got nan"),
        ("0.5,0.5 --figure x.doc", "--figure must be a file ending in .pdf, .png or .svg, got x"),
        ("0.5,0.5 --figur", "--figure"),
        ("", "the following arguments are required: p"),
        ("1 1 1", "unknown argument 1"),
    ],
)
def test_wrong_input_is_answered_in_one_line(capsys, given, message):
    with pytest.raises(SystemExit) as stopped:
        main(given.split())
    said = capsys.readouterr()
    assert (stopped.value.code, said.out) == (2, "")
    assert message in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("given", ["0.5,0.25,0.25", "0.3,0.7", "0.5,0.5,0 0.9,0.1,0", "1"])
def test_the_figure(tmp_path, capsys, given):
    path = tmp_path / "new" / "figure.svg"
    assert main([*given.split(), "--figure", str(path)]) == 0
    assert capsys.readouterr().out.endswith(f"figure: {path}\n")
    text = path.read_text()
    assert "information [bits]" in text
    assert ("KL(p||q)" in text) == (" " in given)


def test_the_bars_add_up():
    from losslab.report.figures.information import information_figure

    _, axes = information_figure([0.5, 0.5], [0.9, 0.1]).axes
    entropy, divergence, cross = axes.patches
    assert divergence.get_y() == entropy.get_height()
    top = divergence.get_y() + divergence.get_height()
    assert top == pytest.approx(cross.get_height())
    assert cross.get_height() == pytest.approx(-0.5 * math.log2(0.09))


def test_the_command_starts_without_torch():
    program = (
        "import sys; from losslab import cli; assert cli.run(['information', '0.5,0.5']) == 0; "
        "print(sorted({'torch', 'numpy', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.strip()) == (0, "[]")
