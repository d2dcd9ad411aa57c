"""Write embeddings for TensorBoard's projector."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from losslab.runs.folder import replace_file

FOLDER = Path("plugins") / "org_tensorflow_tensorboard_projector"  # where TensorBoard looks


def write_embedding(
    folder: Path, name: str, rows: Iterable[Sequence[float]], labels: Iterable[str]
) -> None:
    """Write labelled vectors for the projector of a run, replacing earlier ones.

    Args:
        folder: the run's folder; TensorBoard shows it once the run has events.
        name: name of the embedding in the projector.
        rows: one vector per sample.
        labels: one label per sample.
    """
    place = folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    vectors = "".join("\t".join(f"{value:.6g}" for value in row) + "\n" for row in rows)
    replace_file(place / "vectors.tsv", vectors.encode())
    replace_file(place / "labels.tsv", "".join(f"{label}\n" for label in labels).encode())
    config = (
        f'embeddings {{\n  tensor_name: "{name}"\n  tensor_path: "vectors.tsv"\n'
        '  metadata_path: "labels.tsv"\n}\n'
    )
    replace_file(place / "projector_config.pbtxt", config.encode())
