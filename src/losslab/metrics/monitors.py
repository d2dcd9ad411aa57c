"""Metrics that tasks compute after each epoch, one of which is the monitor (no torch)."""

from collections.abc import Mapping
from typing import Any

_CLASSES = "accuracy f1_macro auroc ece brier entropy bits"
_RETRIEVAL = "map_at_r recall_at_1"
_VERIFICATION = "eer tar_at_far_1e-2 tar_at_far_1e-3"
_RETURNS = "return_choice return_mean"
_OF_TASKS: dict[str, str] = {
    "losslab.tasks.ClassificationTask": (
        f"loss {_CLASSES} rare_recall rare_f1 rare_average_precision weight_rms near_zero_weights"
    ),
    "losslab.tasks.MultiLabelTask": f"loss {_CLASSES}",
    "losslab.tasks.RegressionTask": (
        "loss mae rmse mae_rmse r2 slope intercept slope_error intercept_error"
    ),
    "losslab.tasks.SegmentationTask": "loss average_precision dice dice_small iou precision recall",
    "losslab.tasks.LocalizationTask": "loss iou accuracy_at_50 accuracy_at_75 centre_error",
    "losslab.tasks.DetectionTask": "loss map map_50 map_75",
    "losslab.tasks.RankingTask": "loss ndcg_at_10 kendall_tau pairwise_accuracy",
    "losslab.tasks.RecommendationTask": "loss ndcg_at_10 recall_at_10",
    "losslab.tasks.MetricLearningTask": (
        f"loss {_RETRIEVAL} silhouette {_VERIFICATION} map_at_r_held_out recall_at_1_held_out"
    ),
    "losslab.tasks.ImageTextTask": (
        "loss recall_at_1 recall_at_1_image_to_text recall_at_1_text_to_image"
    ),
    "losslab.tasks.ReconstructionTask": "loss psnr ssim mae rmse sharpness frechet",
    "losslab.tasks.GenerationTask": "frechet modes sample_precision sample_recall sharpness",
    "losslab.tasks.PointCloudTask": "loss f_score chamfer emd coverage",
    "losslab.tasks.SequenceTask": "loss cer exact_match",
    "losslab.rl.PolicyControl": _RETURNS,
    "losslab.rl.ValueControl": _RETURNS,
}


def monitors(task: Mapping[str, Any]) -> list[str] | None:
    """Return the metrics that may be a task's monitor; ``None`` for a task of the user.

    Some depend on data and loss, such as ``ece`` on an inverse link.

    Args:
        task: options of the task, as plain values.

    Example:
        >>> monitors({"definition": {"_target_": "losslab.tasks.SequenceTask"}})
        ['loss', 'cer', 'exact_match']
    """
    known = _OF_TASKS.get(str(task["definition"].get("_target_")))
    if known is None:
        return None
    return [*known.split(), *(f"ref/{name}" for name in task.get("reference_losses") or [])]
