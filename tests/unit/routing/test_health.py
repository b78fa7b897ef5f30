"""routing/health.py: rise and fall."""

from trunkline.routing.health import Health, HealthSettings


def test_it_falls_and_rises_after_answers_in_a_row() -> None:
    health = Health(HealthSettings(rise=2, fall=3))
    assert health.up
    said = [health.observe(good, float(at)) for at, good in enumerate([False, False, True, False, False])]
    assert said == [False] * 5
    assert health.up
    assert health.observe(False, 5.0)
    assert (health.up, health.since) == (False, 5.0)
    assert "down" in repr(health)
    assert not health.observe(True, 6.0)
    assert not health.observe(False, 7.0)
    assert not health.observe(True, 8.0)
    assert health.observe(True, 9.0)
    assert (health.up, health.since) == (True, 9.0)
