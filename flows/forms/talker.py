"""The talker as a deployment."""

from flows.forms.derived import system_form
from flows.systems import system

talker = system_form("talker", system("talker"), recording="gaze_core/talker/shipped")
