"""Prefect tasks around the stages of `gaze_core`: references in, a reference out."""

from tasks import environment

# Prefect and MLflow read their settings when they are imported, which is after this and before any other line of ours.
environment.set_defaults()
