"""The dictionary of losses: each loss of another library, and the loss of losslab that equals it.

One table serves docs/dictionary.md, ``losslab convert`` and the tests, which compare values and
gradients where the library is installed. Neither torch nor the other libraries are imported.
"""

from losslab.dictionary.convert import Conversion, convert, line_of
from losslab.dictionary.row import NoCounterpart, Row, ours_options
from losslab.dictionary.rows import ROWS

__all__ = ["ROWS", "Conversion", "NoCounterpart", "Row", "convert", "line_of", "ours_options"]
