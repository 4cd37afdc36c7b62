"""Gaze estimation as a deployment."""

from flows.forms.derived import system_form
from flows.systems import system

estimate_gaze = system_form("estimate_gaze", system("estimate"), data="eve")
