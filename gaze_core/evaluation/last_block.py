"""The end of a recording in a report: how far a model carries beyond the time that it was trained on."""

from dataclasses import dataclass

from gaze_core.evaluation.report import EvaluationReport
from gaze_core.evaluation.report_images import ReportImages, image_strips
from gaze_core.evaluation.tables import check_rows, number_table
from gaze_core.reports.blocks import Block, Checks, Fold, Heading
from gaze_core.reports.text import counted


@dataclass(frozen=True, eq=False)
class LastBlock:
    """What was measured and rendered of the last block, of the candidate and, if there is one, of the baseline."""

    candidate: EvaluationReport
    images: ReportImages
    baseline: EvaluationReport | None = None
    baseline_images: ReportImages | None = None

    def blocks(self, candidate_name: str, baseline_name: str) -> list[Block]:
        """The section of the page: heads, numbers, checks."""
        intro = (
            f"{counted(self.candidate.num_samples, 'pair')} from the end of the recording, which lies after all frames of "
            "training. All other numbers, and the verdict, are of held-out blocks between those of training."
        )
        return [
            Heading("Last block", intro),
            *image_strips(self.images, self.baseline_images),
            number_table(self.candidate, candidate_name, self.baseline, baseline_name),
            Fold("Checks in the last block", [Checks(check_rows(self.candidate))], is_open=bool(self.candidate.faults)),
        ]

    @property
    def numbers(self) -> dict[str, float | None]:
        """The candidate's means by flat name, as they stand among those of the whole report."""
        return {f"last_block_{name}": value for name, value in self.candidate.numbers.items()}
