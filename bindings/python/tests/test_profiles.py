"""Profiles: measuring, files, estimates."""

import pytest

import sot


@pytest.fixture(scope="module")
def profile(model):
    with sot.Session(model, n_threads=1) as session:
        seen = []
        made = sot.Profile.measure(
            session,
            max_batch=2,
            max_context=64,
            n_prefill_repeats=3,
            n_decode_repeats=1,
            cell_ns=1000000,
            machine="here",
            on_progress=lambda done, total: seen.append((done, total)),
        )
        assert len(seen) > 2 and all(done <= total for done, total in seen)
        yield made


LENGTHS = dict(
    normal_prompt=13,
    normal_tokens=60,
    skeleton_prompt=50,
    skeleton_tokens=20,
    common_prompt=40,
    point_prompt_tails=[10, 11, 12],
    point_tokens=[20, 21, 22],
)


def test_profile_says_what_was_measured(profile, model):
    info = profile.info
    assert info.machine == "here" and info.model_name == model.info.name
    assert info.n_layer == model.info.n_layer and info.n_cells > 4
    assert 0 < profile.decode_ns(1, 10) and profile.prefill_ns(1, 10) < profile.prefill_ns(2, 60)
    assert profile.decode_ns(0, 10) == 0


def test_estimate_adds_up(profile):
    estimate = profile.estimate(**LENGTHS)
    assert estimate.sot_ns == pytest.approx(estimate.skeleton_ns + estimate.expand_ns)
    assert estimate.speedup == pytest.approx(estimate.normal_ns / estimate.sot_ns)
    assert isinstance(estimate.extrapolated, sot._constants.Extrapolated)
    with pytest.raises(sot.ArgumentError, match="3 entries, point_tokens 1"):
        profile.estimate(**dict(LENGTHS, point_tokens=[1]))
    with pytest.raises(sot.ArgumentError, match="normal_prompt"):
        profile.estimate(**dict(LENGTHS, normal_prompt=0))


def test_break_even_is_found_or_not(profile):
    result = profile.break_even(point_tokens=32, max_points=8)
    assert 0 <= result.n_points <= 8 and result.max_speedup >= result.speedup > 0


def test_profile_goes_through_its_file(profile, tmp_path):
    profile.save(tmp_path / "profile.json")
    with sot.Profile.load(tmp_path / "profile.json") as again:
        assert again.info == profile.info
        assert again.estimate(**LENGTHS) == profile.estimate(**LENGTHS)
    with pytest.raises(sot.ClosedError):
        again.save(tmp_path / "other.json")


def test_refresh_takes_the_same_model_only(profile, own_session):
    fresh = profile.refresh(own_session)
    assert fresh.info.n_cells == profile.info.n_cells and fresh.decode_ns(1, 10) > 0
    with sot.Model("random:64x2x4x96x300") as other, sot.Session(other) as session:
        with pytest.raises(sot.ArgumentError):
            profile.refresh(session)


def test_progress_stops_measuring(own_session):
    with pytest.raises(sot.CancelledError):
        sot.Profile.measure(own_session, on_progress=lambda done, total: True)
