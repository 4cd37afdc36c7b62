"""What ships with the package: a rendered person in GazeCapture's layout, and a redirector that was pretrained on others.

`python -m gaze_core.one_shot.shipped PRETRAINED PEOPLE...` makes both again, from the folder of a pretraining and from files
of rendered people (`one_shot/people.py`): all samples of the first person, twelve of each other one.
"""

import sys
from importlib.resources import files
from pathlib import Path

from safetensors.torch import save_file

from gaze_core.atomic import replacing
from gaze_core.errors import BadInput
from gaze_core.one_shot.checkpoints import CRITIC_FILE
from gaze_core.one_shot.layout import PersonArrays, count_samples, read_person, write_people
from gaze_core.sampling import evenly_spaced
from gaze_core.training.checkpoint import WEIGHTS_FILE, load_weights

SHIPPED_PEOPLE = Path(str(files("gaze_core.data") / "packs" / "one_shot_people.h5"))
SHIPPED_REDIRECTOR = Path(str(files("gaze_core.models") / "weights" / "one_shot_tiny"))
_SAMPLES_OF_OTHERS = 12


def ship_redirector(pretrained: Path, out: Path) -> None:
    """Writes weights and critic of a pretraining as 16-bit numbers, with their cards."""
    from safetensors import safe_open

    out.mkdir(parents=True, exist_ok=True)
    for name in (WEIGHTS_FILE, CRITIC_FILE):
        with safe_open(pretrained / name, framework="pt") as file:
            card = file.metadata()
        tensors = {key: value.half() for key, value in load_weights(pretrained / name).items()}
        with replacing(out / name) as partial:
            save_file(tensors, partial, metadata=card)


def ship_people(sources: list[Path], out: Path) -> None:
    """Writes one file with all samples of the first person and some of the others."""
    people: dict[str, PersonArrays] = {}
    for path in sources:
        for name in count_samples(path):
            person = read_person(path, name)
            chosen = evenly_spaced(len(person.pixels), _SAMPLES_OF_OTHERS if people else len(person.pixels))
            points = None if person.landmarks_px is None else person.landmarks_px[chosen]
            people[name] = PersonArrays(person.pixels[chosen], person.labels[chosen], points)
    write_people(out, people)


def main(arguments: list[str]) -> None:
    """Makes what ships again."""
    if len(arguments) < 2:
        raise BadInput(f"{len(arguments)} arguments; expected the folder of a pretraining, then files of people")
    ship_redirector(Path(arguments[0]), SHIPPED_REDIRECTOR)
    ship_people([Path(argument) for argument in arguments[1:]], SHIPPED_PEOPLE)


if __name__ == "__main__":
    main(sys.argv[1:])
