"""Messages in the words of Python, where they advise what is typed on the command line."""

import re

from losslab.config.errors import UserError

_OPTION = (
    r"\b(add|or|set|use|with|write) "
    r"(\+*(?:callbacks|data|extras|logger|model|optimizer|paths|regularizer|scheduler|task|trainer)"
    r"(?:\.[\w.]+)?=(?!\")(?:\[[^\]]*\]|[^\s,;)]*[^\s,;:)]))"
)
_RULES = (
    (r"(\w+) needs the option '(\w+)': add \+\+loss\.\w+=\.\.\.", r"\1 needs \2: give \1(\2=...)"),
    (
        r"(\w+) needs the option '(\w+)': add \+\+model\.\w+=\.\.\.",
        r"\1 needs \2: give lambda: \1(\2=...)",
    ),
    (r"add trust=true \(losslab evaluate: --trust\)", "use losslab.load(folder, trust=True)"),
    (r"--cfg job", "losslab --cfg job, in a shell"),
    (r" in [^,:]*/data\.npz", ""),
    (r"\b(add|or|use|write) (data|model|optimizer|task)=(\w+)", r'\1 \2="\3"'),
    (_OPTION, r'\1 options=["\2"]'),
)
"""Patterns of what the command line takes, and what Python takes instead."""


def in_python(error: UserError) -> str:
    """Return the message of an error, with advice as Python takes it.

    Example:
        >>> in_python(UserError("36 columns: exclude them with data.drop=[a,b], or add task=other"))
        '36 columns: exclude them with options=["data.drop=[a,b]"], or add task="other"'
    """
    text = error.in_python or str(error)
    for pattern, instead in _RULES:
        text = re.sub(pattern, instead, text)
    return text
