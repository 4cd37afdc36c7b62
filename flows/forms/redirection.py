"""Gaze redirection as a deployment."""

from flows.forms.derived import system_form
from flows.systems import system

redirect = system_form("redirect", system("redirect"))
