"""Prefect tasks around the stages of `gaze_core`: references in, a reference out."""

from tasks import environment

# Prefect and MLflow read their settings when they are imported, which any module below this one may do.
environment.set_defaults()
