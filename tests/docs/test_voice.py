"""Texts that users read use the field's words, and docstrings of functions begin with a verb."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# what not to write, with what to write instead; patterns match only the sense that is meant
WORDS = {
    r"\bkeepers?\b|\bHeldKeeper\b|\brun[ _-]keeping\b": "run writer",
    r"\bdraw_seed\b|\bStreams\b": "rng, derive_seed",
    r"\bassembl(y|e|es|ed|ing)\b": "components, build",
    r"\b(at home|lives on|brings? (its|their) \w+ along|brings? along)\b": "default data or task",
    r"\bcells? of (a|the|this|each) sweep\b|\bsweep cells?\b|\bmax_cells\b": "job",
    r"\btwins?\b": "duplicate job",
    r"\bWrongInput\b|\bsaid_in_one_line\b": "UserError, cli_errors",
    r"\bsettle[sd]?\b|\bwidens?\b": "configure_process, cast_to_float64",
    r"\bjudg(e|es|ed|ing|ements?|ments?)\b": "evaluate",
    r"\byardsticks?\b": "metric",
    r"\bfacts\b": "diagnostics",
    r"\bloss(es|'s)? (parts|terms)\b|\b(parts|terms) of (a|the|its) loss\b": "loss components",
    r"\btarget forms?\b|\bforms? of (the )?targets?\b": "target format",
    r"\b(loss|losses) reads?\b": "a loss accepts",
    r"\bloss'?s? (own )?link\b|\bno link\b|\blink of (a|the) loss\b": "inverse link",
    r"\bPlayers?\b|\bLearners?\b": "stacked run, single run",
    r"\bplay(s|ed|ing)? (an?|the|in|each) (environment|episode|round)s?\b": "rollout",
    r"\blessons?\b": "training batch",
    r"\bgo(es|ing)? on with\b|\bruns? that go(es)? on\b": "resume",
    r"\bremembers?\b|\bstanding of\b": "state_dict",
    r"\b(an?|the|trained|its) eyes?\b": "feature extractor",
    r"\bpictures?\b(?!:)": "figure",
    r"\b(un)?told\b(?!:)|\bUNDECIDING\b": "varying or irrelevant keys",
    r"\blost (run|seed|job)s?\b|\b(runs?|seeds?|jobs?) (was|were|is|are) lost\b": "failed",
    r"\bturned pairs?\b|\bpairs? (is|are|was|were) turned\b": "swapped",
    r"\bverdicts?\b": "conclusion",
    r"\bexploratory\b": "underpowered",
    r"\bnot distinguishable\b|\bindistinguishable\b": "no significant difference",
    r"(?<!minimum\s)\bdetectable\b": "minimum detectable effect (MDE)",
    r"\bplanned (comparison|claim)s?\b": "preregistered",
    r"\boverviews?\b": "sweep summary",
    r"\bagainst all (others|the others|the rest)?\b": "one-vs-rest",
    r"\b(accepts?|provides?) binary masks\b": "binary targets",
    r"\blosses of overlap\b": "region-based losses",
    r"\bsurprise\b": "negative log-likelihood",
    r"\bmissed (pixel|foreground)s?\b|\bmisses and\b": "false negatives",
    r"\b(false )?alarms?\b": "false positives",
    r"\bby heart\b": "overfit",
    r"\bturned (digit|image)s?\b|\b(digit|image)s? turned\b": "rotated digits",
    r"\bone's own\b": "your own",
    r"\b(a|one) (row|column|line|dot|panel|file|folder|page|figure|curve|job|process|product|step)"
    r" an? [a-z]+\b": "one row per loss",
    r"\b(logits?|scores?|values?|outputs?|codes?|maps?|classes|steps|seeds) an? "
    r"(sample|image|pixel|step|time step|epoch|batch|cloud|document|query|loss|class|run)\b": (
        "one value per sample"
    ),
    r"(?<!there\s)\b(is|are) no (number|image|file|run|mask|loss|list|folder|choice|option|sweep|"
    r"query|cloud|measure|table|float|integer|tensor|probability)s?\b": "is not a",
    r"(?-i:^#+ Again$|\bOver all\b|\bAll together\b|\bWhat it says\b)": (
        "Reproduce, Overall, In total, Findings"
    ),
    r"\bmargins\.py\b": "classification.py",
}
BANNED = [
    (re.compile(pattern.replace(" ", r"\s+"), re.MULTILINE | re.IGNORECASE), instead)
    for pattern, instead in WORDS.items()
]
NEWLINE = "\n"
CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]+`", re.DOTALL | re.MULTILINE)

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
CONFIGS = sorted((ROOT / "conf").rglob("*.yaml"))
SOURCES = [
    path
    for folder in ("src", "scripts")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.name != "past.py"  # it holds old names
]


def blank(match):
    """Return whitespace with the newlines of a match, so that line numbers stay."""
    return re.sub(r"[^\n]", " ", match[0])


def texts(path):
    """Yield the texts of a file that users read, each with its first line."""
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield 1, CODE.sub(blank, content)
    elif path.suffix == ".yaml":
        yield 1, content
    else:
        yield from texts_in_code(ast.parse(content))


def texts_in_code(tree):
    """Yield docstrings and messages: strings without a space are names and keys."""
    parts = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            values = [
                part.value if isinstance(part, ast.Constant) else "{}" for part in node.values
            ]
            text = "".join(values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if " " in text.strip() and id(node) not in parts:
            yield node.lineno, CODE.sub(blank, text)


def hits(path):
    """Return each banned word in a file as ``line: word -> replacement``."""
    return [
        f"{line + text.count(NEWLINE, 0, found.start())}: {' '.join(found[0].split())} -> {instead}"
        for line, text in texts(path)
        for pattern, instead in BANNED
        for found in pattern.finditer(text)
    ]


@pytest.mark.parametrize(
    "path", PAGES + CONFIGS + SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_texts_use_the_words_of_the_field(path):
    found = [f"{path.relative_to(ROOT)}:{hit}" for hit in hits(path)]
    assert not found, "\n".join(["", *found])


def test_a_banned_word_is_found(tmp_path):
    code = tmp_path / "code.py"
    code.write_text(
        'def f(x):\n    """Return it.\n\n    One row a\n    loss.\n    """\n'
        '    raise ValueError(f"{x} is no number, judged by x")\nKEY = "judged"\n'
    )
    page = tmp_path / "page.md"
    page.write_text("`judge`\nTwo losses are not\ndistinguishable.\n")
    assert sorted(hits(code)) == [
        "4: One row a loss -> one row per loss",
        "7: is no number -> is not a",
        "7: judged -> evaluate",
    ]
    assert hits(page) == ["2: not distinguishable -> no significant difference"]


def test_docstrings_of_functions_begin_with_a_verb():
    """Ruff checks this; the google convention would switch the rule off."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "D401" in settings["extend-select"]
    assert "D401" not in settings["ignore"]
