import numpy as np
from google.protobuf import text_format
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from losslab.runs.projector import FOLDER, write_embedding
from losslab.runs.writer import RunWriter


def test_the_projector_finds_vectors_and_labels(tmp_path):
    write_embedding(tmp_path, "old", [[0.0]], ["x"])
    rows = [[0.5, -1.25, 3e-5], [2.0, 0.0, 1.0]]
    write_embedding(tmp_path, "digits", rows, ["3", "8"])
    config = ProjectorConfig()
    text_format.Parse((tmp_path / FOLDER / "projector_config.pbtxt").read_text(), config)
    [embedding] = config.embeddings
    assert embedding.tensor_name == "digits"
    assert np.array_equal(np.loadtxt(tmp_path / FOLDER / embedding.tensor_path), rows)
    assert (tmp_path / FOLDER / embedding.metadata_path).read_text() == "3\n8\n"


def test_a_keeper_without_events_writes_none(tmp_path):
    for events, there in ((False, False), (True, True)):
        folder = tmp_path / str(events)
        folder.mkdir()
        RunWriter(folder, "val/loss", "min", events=events).embedding([[1.0]], ["a"])
        assert (folder / FOLDER).exists() is there
