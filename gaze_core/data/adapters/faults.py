"""Known faults of published labels. The labels stay as published; each converted file names the faults."""

FAULTS = {
    "gaze_origin": (
        "head-frame gaze starts 41 mm from the face's centre, at (-29.5, -28.3, -4.6) mm in the head frame, because "
        "brow and chin points were averaged for eye corners: about 3.9 deg at 0.6 m, constant for a head pose; certain "
        "for GazeNeRF's files, likely for GazeGaussian's"
    ),
    "gaze_center_twice": (
        "the face's centre was subtracted twice from the gaze target, with the rotation vector added where the "
        "translation is meant; the size of the error varies with the pose"
    ),
    "columbia_from_file_name": (
        "gaze is the file name's (-V, P - H) degrees, not measured; the sign of H could not be checked on an image"
    ),
    "frame_index_8_bit": "frame_index was stored in 8 bits and wraps at 256; undone where the frames are in order",
    "normalization_inferred": "the virtual camera is not in the files; its focal length and distance are inferred",
}
