"""Published numbers of talking heads, as transcribed from the papers' tables, and how ours differ.

None of them is comparable with a run of ours as it stands: people, length of the recording and hardware differ.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedTable:
    """One table: what it is of, its columns, and a row for each method."""

    title: str
    source: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


_SELF = ("PSNR", "SSIM", "LPIPS", "LMD", "Sync-C", "training", "frames/s")
TABLES = (
    PublishedTable(
        "Self-driven", "GaussianTalker (arXiv 2404.16012), as transcribed; RTX 3090 or A6000", _SELF,
        (
            ("AD-NeRF", "30.341", ".906", ".026", "5.692", "4.939", "13 h", "0.13"),
            ("RAD-NeRF", "30.703", ".915", ".026", "3.142", "5.757", "3 h", "32"),
            ("ER-NeRF", "31.673", ".919", ".014", "3.003", "5.976", "1 h", "34"),
            ("GaussianTalker* (small)", "32.269", ".930", ".016", "2.711", "6.443", "1 h", "121"),
            ("GaussianTalker", "32.423", ".931", ".018", "2.928", "6.554", "1.5 h", "98"),
        ),
        "PSNR over the whole frame, with the true torso of the same frame behind the head.",
    ),
    PublishedTable(
        "Self-reconstruction, mean of four people", "TalkingGaussian (arXiv 2404.15264), as transcribed", _SELF,
        (
            ("ER-NeRF", "32.83", ".889", ".0289", "2.676", "5.295", "2.1 h", "31.2"),
            ("TalkingGaussian", "33.61", ".910", ".0259", "2.586", "6.516", "0.5 h", "108"),
        ),
    ),
    PublishedTable(
        "Five people, HuBERT for all, one L40S", "EmbedTalk", _SELF,
        (
            ("GaussianTalker", "31.563", ".923", ".041", "2.756", "6.379", "3 h 06 min", "128"),
            ("TalkingGaussian", "31.674", ".923", ".034", "2.461", "6.024", "28 min", "303"),
            ("EmbedTalk", "35.186", ".961", ".021", "2.444", "6.520", "1 h 02 min", "294"),
        ),
    ),
    PublishedTable(
        "Ten seconds of training data", "D3-Talker", _SELF,
        (
            ("GaussianTalker", "30.895", ".921", ".039", "3.793", "2.086", "53 min", "62"),
            ("TalkingGaussian", "30.833", ".918", ".039", "3.473", "3.055", "37 min", "89"),
            ("InsTaG", "31.129", ".921", ".042", "3.195", "4.411", "16 min", "69"),
            ("D3-Talker", "31.518", ".927", ".043", "3.194", "6.015", "32 min", "65"),
        ),
    ),
)  # fmt: skip
DIFFERENCES = (
    "The published PSNR is that of our row 'whole frame': head and true torso of the same frame. Over head, lips and eyes "
    "alone it is lower, and nobody has published it.",
    "LMD is in pixels of a frame 512 px wide; ours is over the distance of the eyes, so it does not depend on the size.",
    "LPIPS is on AlexNet; ours is ST-LPIPS, whose values are not comparable.",
    "Sync-C needs SyncNet's weights, which are not here; ours are the lips under other sound, and opening against loudness.",
    "Published frames a second are batches of up to 128 on the GPU named, without waiting for it to finish.",
    "None of the published models is told where to look, so nobody has published a gaze error.",
)
