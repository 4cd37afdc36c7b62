"""What ships: small, of different people, and loadable."""

from importlib.resources import files
from pathlib import Path

from gaze_core.one_shot.checkpoints import load_critic, load_redirector
from gaze_core.one_shot.layout import count_samples, read_person
from gaze_core.one_shot.selection import SplitConfig, choose_person
from gaze_core.one_shot.shipped import SHIPPED_PEOPLE, SHIPPED_REDIRECTOR, ship_people, ship_redirector


def test_it_is_small():
    parts = [SHIPPED_PEOPLE, *SHIPPED_REDIRECTOR.iterdir()]
    autoencoder = Path(str(files("gaze_core.models") / "weights" / "one_shot_autoencoder.safetensors"))
    assert autoencoder.stat().st_size < 6e6
    assert sum(part.stat().st_size for part in parts) < 12e6


def test_the_shipped_people_were_not_pretrained_on():
    people = count_samples(SHIPPED_PEOPLE)
    loaded = load_redirector(SHIPPED_REDIRECTOR)
    assert len(loaded.card["trained_on"]["pretraining"]) >= 7
    assert not set(people) & set(loaded.card["trained_on"]["pretraining"])
    assert load_critic(SHIPPED_REDIRECTOR) is not None
    name, _ = choose_person(people, 30, 0, SplitConfig())
    person = read_person(SHIPPED_PEOPLE, name)
    assert person.pixels.shape[1:] == (256, 256, 3)
    assert person.landmarks_px is not None
    assert not person.dropped


def test_shipping_again_loses_nothing_but_bits(tmp_path):
    ship_redirector(SHIPPED_REDIRECTOR, tmp_path / "model")
    for name in ("weights.safetensors", "critic.safetensors"):
        assert (tmp_path / "model" / name).stat().st_size == (SHIPPED_REDIRECTOR / name).stat().st_size
    ship_people([SHIPPED_PEOPLE], tmp_path / "people.h5")
    assert list(count_samples(tmp_path / "people.h5")) == list(count_samples(SHIPPED_PEOPLE))
