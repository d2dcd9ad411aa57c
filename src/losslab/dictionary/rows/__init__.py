"""The table: one module per library."""

from losslab.dictionary.rows.keras import KERAS
from losslab.dictionary.rows.kornia import KORNIA
from losslab.dictionary.rows.monai import MONAI
from losslab.dictionary.rows.optax import OPTAX
from losslab.dictionary.rows.pml import PML
from losslab.dictionary.rows.smp import SMP
from losslab.dictionary.rows.timm import TIMM
from losslab.dictionary.rows.torch import TORCH

ROWS = (*TORCH, *MONAI, *SMP, *KORNIA, *TIMM, *PML, *KERAS, *OPTAX)
