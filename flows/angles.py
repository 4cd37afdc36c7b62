"""Angles in the options of commands."""

from gaze_core.errors import BadInput


def parse_angles(text: str, option: str) -> tuple[tuple[float, float], ...]:
    """`"0,25;15,0"` as pairs of pitch and yaw in degrees.

    Raises:
        BadInput: the text has another form.
    """
    try:
        pairs = [tuple(float(number) for number in pair.split(",")) for pair in text.split(";") if pair.strip()]
    except ValueError:
        pairs = []
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise BadInput(f'{option} {text!r}: expected "pitch,yaw" in degrees, several separated by ";": "0,25;15,0"')
    return tuple((pitch, yaw) for pitch, yaw in pairs)
