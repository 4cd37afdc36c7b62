"""The talking head for its users: the model, its inputs and outputs, and how to load it."""

from gaze_core.models.talker.checkpoint import TalkerInfo, load_talker
from gaze_core.models.talker.network import TalkerCondition, TalkerModel, TalkerRender

__all__ = ["TalkerCondition", "TalkerInfo", "TalkerModel", "TalkerRender", "load_talker"]
