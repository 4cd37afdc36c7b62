"""The supported published layouts; `docs/datasets.md` lists where to get the data and its known faults."""

from gaze_core.data.adapters.eth_xgaze import read_eth_xgaze
from gaze_core.data.adapters.gazegaussian import read_gazegaussian
from gaze_core.data.adapters.gazenerf import read_gazenerf
from gaze_core.data.adapters.mpii_face_gaze import read_mpii_h5, read_mpii_mat
from gaze_core.data.adapters.spec import DatasetSpec, Layout, PublishedView
from gaze_core.data.adapters.sted import read_sted

_XGAZE = PublishedView(focal_px=960, distance_m=0.60, size_px=224, face_center="eyes_nose")
_NERF = PublishedView(focal_px=1600, distance_m=0.68, size_px=512, face_center="eyes_nose")
_LAPTOP = PublishedView(focal_px=1400, distance_m=0.68, size_px=512, face_center="as in the raw release")
_PHONE = PublishedView(focal_px=1200, distance_m=0.68, size_px=512, face_center="eyes_nose")
_MPII = PublishedView(focal_px=3200, distance_m=1.00, size_px=448, face_center="mean of four eye and two mouth corners")
_STED = PublishedView(focal_px=500, distance_m=0.60, size_px=128, face_center="30 mm below the face model's origin")
_FAZE = PublishedView(focal_px=1300, distance_m=0.60, size_px=256, face_center="mean of the inner eye corners")

_BITS, _ORIGIN, _TWICE = "frame_index_8_bit", "gaze_origin", "gaze_center_twice"
_NAMED, _GUESS = "columbia_from_file_name", "normalization_inferred"

# fmt: off
LAYOUTS = {
    #                      colours  gaze            angles        length  eye masks  reader
    "eth_xgaze":    Layout("bgr", "camera",       "pitch_yaw",  "none", "none",  read_eth_xgaze),
    "gazenerf":     Layout("bgr", "head",         "pitch_down", "dm",   "image", read_gazenerf),
    "gazegaussian": Layout("bgr", "head",         "pitch_down", "dm",   "image", read_gazegaussian),
    "mpii_mat":     Layout("bgr", "camera",       "pitch_yaw",  "none", "none",  read_mpii_mat),
    "mpii_h5":      Layout("bgr", "camera",       "pitch_yaw",  "none", "none",  read_mpii_h5),
    "sted":         Layout("rgb", "camera, eyes", "pitch_yaw",  "none", "none",  read_sted),
    "sted_bgr":     Layout("bgr", "camera, eyes", "pitch_yaw",  "none", "none",  read_sted),
    "faze":         Layout("rgb", "camera",       "pitch_yaw",  "none", "none",  read_sted),
}

_ROWS = (
    # name                         layout          source            files                  view     known faults
    ("eth_xgaze_hdf5",              "eth_xgaze",    "eth_xgaze",      "{subject*}.h5",       _XGAZE,  ()),
    ("gazenerf_eth_xgaze",          "gazenerf",     "eth_xgaze",      "xgaze_{}.h5",         _NERF,   (_ORIGIN, _BITS)),
    ("gazenerf_columbia",           "gazenerf",     "columbia",       "columbia_{}.h5",      _NERF,   (_NAMED, _BITS)),
    ("gazenerf_gaze_capture",       "gazenerf",     "gaze_capture",   "gaze_capture_{}.h5",  _PHONE,  (_TWICE, _BITS)),
    ("gazenerf_mpii_face_gaze",     "gazenerf",     "mpii_face_gaze", "mpii_{}.h5",          _LAPTOP, (_BITS,)),
    ("gazegaussian_eth_xgaze",      "gazegaussian", "eth_xgaze",      "xgaze_{}.h5",         _NERF,   (_ORIGIN, _BITS)),
    ("gazegaussian_columbia",       "gazegaussian", "columbia",       "columbia_{}.h5",      _NERF,   (_NAMED, _BITS)),
    ("gazegaussian_gaze_capture",   "gazegaussian", "gaze_capture",   "gaze_capture_{}.h5",  _PHONE,  (_TWICE, _BITS)),
    ("gazegaussian_mpii_face_gaze", "gazegaussian", "mpii_face_gaze", "mpii_{}.h5",          _LAPTOP, (_BITS,)),
    ("mpii_face_gaze_mat",          "mpii_mat",     "mpii_face_gaze", "{p*}.mat",            _MPII,   (_GUESS,)),
    ("mpii_face_gaze_h5",           "mpii_h5",      "mpii_face_gaze", "MPIIFaceGaze*.h5",    _MPII,   (_GUESS,)),
    ("mpii_face_gaze_sted",         "sted",         "mpii_face_gaze", "MPIIGaze*.h5",        _STED,   ()),
    ("gaze_capture_sted",           "sted",         "gaze_capture",   "GazeCapture*.h5",     _STED,   ()),
    ("gaze_capture_faze",           "faze",         "gaze_capture",   "GazeCapture*.h5",     _FAZE,   ()),
    ("columbia_sted",               "sted_bgr",     "columbia",       "Columbia*.h5",        _STED,   ()),
)
# fmt: on

ADAPTERS: dict[str, DatasetSpec] = {
    name: DatasetSpec(name, LAYOUTS[layout], source, pattern, view, faults)
    for name, layout, source, pattern, view, faults in _ROWS
}
