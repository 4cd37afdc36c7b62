"""Driver gaze as a deployment."""

from flows.forms.derived import system_form
from flows.systems import system

driver_gaze = system_form("driver_gaze", system("driver"), video="drive/video.mp4", sensors="drive/sensors.csv")
