"""Films of a talking head: what it is to say comes as text or as sound, and a film comes back."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeGuard

from flows.apps.studio.machine import Ended
from flows.apps.studio.session import settled
from flows.apps.studio.tabs import Fit, Studio, Tab
from gaze_core.errors import BadInput
from gaze_core.studio.wishes import FilmWish

if TYPE_CHECKING:
    from gaze_core.studio.views import View

MAX_TEXT, MAX_SOUND_BYTES, MAX_FILMS = 300, 20_000_000, 2
NO_SPEECH = (
    "to speak typed text, install espeak-ng (apt install espeak-ng, brew install espeak-ng); sound works without"
)
_SPEECH_LIMIT_S = 30.0


class Talks(Protocol):
    """A view that makes films."""

    name: str

    def film(self, sound: Path, wish: FilmWish, out: Path, told: Callable[[int, int], None]) -> Path:
        """Writes the film of a head that says what is heard in `sound`."""
        ...


def talks(view: "View | None") -> TypeGuard[Talks]:
    """Whether a view makes films."""
    return callable(getattr(view, "film", None))


def synthesiser() -> str | None:
    """The program that speaks text, if one is on this machine."""
    return shutil.which("espeak-ng") or shutil.which("espeak")


def spoken(text: str, out: Path) -> Path:
    """Text as a wav file.

    Raises:
        BadInput: no text, too much, or nothing that speaks it.
    """
    program = synthesiser()
    if program is None:
        raise BadInput(NO_SPEECH)
    if not 0 < len(text.strip()) <= MAX_TEXT:
        raise BadInput(f"{len(text.strip())} characters; expected a sentence of 1 to {MAX_TEXT}")
    command = [program, "-v", "en-us", "-s", "150", "-w", str(out), "--stdin"]
    try:
        subprocess.run(command, input=text.encode(), check=True, capture_output=True, timeout=_SPEECH_LIMIT_S)
    except (subprocess.SubprocessError, OSError) as error:
        raise BadInput(f"{program} could not speak this ({error}); give sound instead") from error
    return out


async def add_film(studio: Studio, tab: Tab, key: str, wish: FilmWish, content: bytes, is_text: bool) -> str:
    """Makes a film for a tab, one at a time, and returns its name.

    Raises:
        BadInput: no talking head, no speech or sound that can be read, or another film is being made.
    """
    view = studio.view(tab, key)
    if not talks(view):
        raise BadInput("this model does not speak; open one of `gazeworks talker train` or `demo` with --checkpoint")
    if tab.is_filming:
        raise BadInput("a film is being made already; wait for it")
    tab.num_films += 1
    name = f"f{tab.num_films}"
    fit = tab.fits[-tab.num_films] = Fit("film")
    folder = Path(tempfile.mkdtemp(prefix="film-"))

    def work(between_steps: Callable[[], None]) -> Path:
        def told(done: int, total: int) -> None:
            if tab.is_gone:
                raise Ended("its tab was closed")
            fit.stage, fit.share = f"rendering frame {done} of {total}", done / total
            between_steps()

        fit.stage = "hearing the sound"
        sound = folder / "sound"
        if is_text:
            spoken(content.decode(errors="replace"), sound)
        else:
            sound.write_bytes(content)
        return view.film(sound, wish, folder / "film.mp4", told)

    tab.is_filming = True
    try:
        made, fault = await settled(studio.machine.fit(work))
    finally:
        tab.is_filming = False
        del tab.fits[-tab.num_films]
    if made is None or tab.is_gone:
        shutil.rmtree(folder, ignore_errors=True)
        raise BadInput(fault or "its tab was closed")
    tab.films[name] = made
    for old in list(tab.films)[:-MAX_FILMS]:
        shutil.rmtree(tab.films.pop(old).parent, ignore_errors=True)
    return name
