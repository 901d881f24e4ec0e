"""``kinetics_jax.spec`` answers for one more release, and says where its names live now."""

import pytest


def test_a_former_name_is_the_new_one_with_a_warning():
    from kinetics_jax import policies, shapes, spec

    with pytest.warns(DeprecationWarning, match=r"kinetics_jax\.policies\.BlockTopK"):
        assert spec.BlockTopK is policies.BlockTopK
    with pytest.warns(DeprecationWarning, match=r"kinetics_jax\.shapes\.presets"):
        assert spec.presets is shapes.presets


def test_what_never_was_there_is_not_there():
    from kinetics_jax import spec

    with pytest.raises(AttributeError, match="no_such_name"):
        _ = spec.no_such_name
