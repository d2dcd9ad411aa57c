"""Write docs/dictionary.md from the table in losslab.dictionary.

    python scripts/dictionary.py

The libraries whose versions are named have to be installed; tests/test_dictionary.py compares them.
"""

import argparse
from importlib import metadata
from pathlib import Path

from losslab.config import groups
from losslab.dictionary import ROWS, Row, line_of
from losslab.dictionary.row import NEGLIGIBLE, Scaled

PAGE = Path(__file__).parents[1] / "docs" / "dictionary.md"
HEAD = f"""# The dictionary of losses

Our losses in the words of other libraries. `losslab convert` does the same for one loss:

```bash
losslab convert monai.losses.TverskyLoss alpha=0.3 beta=0.7
# loss=tversky loss.fp_weight=0.3 loss.fn_weight=0.7
```

Each row is an example that is tested: values and gradients of both are equal on random numbers,
up to the factor that ours is multiplied by (C is the number of classes). *Behind* an adapter of
`losslab.losses`, theirs takes what the adapter returns, such as probabilities, and ours the logits.
Keras calls its losses with the target first; losses of optax return values per element.

A default `smooth` of at most {NEGLIGIBLE:g} is left out: it only prevents 0 / 0, which ours avoids
without it. Sums are `+loss.reduction=sum`; `reduction="none"` of theirs becomes the mean of ours.
`losslab convert` refuses options that a row does not name.

"""


def main() -> None:
    """Write the page."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    PAGE.write_text(HEAD + f"Compared with {versions()}.\n" + body())


def versions() -> str:
    """Name the installed versions of the libraries."""
    libraries = dict.fromkeys(row.library for row in ROWS)
    return ", ".join(f"{name} {metadata.version(name)}" for name in libraries)


def body() -> str:
    """Return a table per loss of ours, and the losses that have none."""
    parts, without = [], []
    for ours in groups.names("loss"):
        rows = [row for row in ROWS if row.ours == ours]
        if not rows:
            sums = "of" in groups.node("loss", ours)  # their components have counterparts
            without += [] if sums else [f"`{ours}`"]
            continue
        parts += [
            "",
            f"## {ours}",
            "",
            "| theirs | target format | ours | factor | options and notes |",
        ]
        parts += ["|---|---|---|---|---|", *map(line, rows)]
    parts += ["", "## Not compared", "", f"{', '.join(without)}."]
    return "\n".join(parts) + "\n"


def line(row: Row) -> str:
    """Return a row as a line of a table."""
    given = ", ".join(f"{name}={value!r}" for name, value in row.example.items())
    behind = " behind " * bool(row.front) + " and ".join(f"`{each}`" for each in row.front)
    notes = [*options(row), *([row.note] if row.note else [])]
    if row.theirs_there in THERE:  # of another value, the note says more
        notes.append(f"{row.edge}: theirs gives {THERE[row.theirs_there]}")
    if row.why:
        where = "" if row.edge == "random numbers" else f" ({row.edge})"
        ours, factor, notes = "not equal", "", [f"{row.why}{where}"]
    else:
        ours, factor = f"`{line_of(row, row.example)}`", row.factor
    cells = (f"`{row.theirs}({given})`{behind}", row.reads, ours, factor, "; ".join(notes))
    return f"| {' | '.join(cells)} |"


THERE = {
    "NaN": "NaN",
    "infinite": "infinity",
    "NaN gradient": "a gradient of NaN",
    "vanishing gradient": "no gradient",
}


def options(row: Row) -> list[str]:
    """Say what the options of theirs are called in ours, and which of them are needed."""
    same = [f"`{name}`" for name, meaning in row.options.items() if meaning == name]
    said = [f"{', '.join(same)} as in ours"] if same else []
    for name, meaning in row.options.items():
        if isinstance(meaning, Scaled):
            said.append(f"{meaning.factor:g} times `{name}` is `{meaning.ours}`")
        elif isinstance(meaning, str):
            said += [f"`{name}` is `{meaning}`"] if name != meaning else []
        else:
            if name in row.defaults and row.defaults[name] not in meaning:
                said.append("needs " + " or ".join(f"`{name}={choice!r}`" for choice in meaning))
            for choice, chosen in meaning.items():
                given = " ".join(f"`{own}={value}`" for own, value in chosen.items())
                as_ours = "as in ours" if chosen == {name: choice} else f"is {given}"
                said += [f"`{name}={choice!r}` {as_ours}"] if given else []
    return said


if __name__ == "__main__":
    main()
