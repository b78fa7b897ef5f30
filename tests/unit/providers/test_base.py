from trunkline.providers.base import Profile


def test_a_row_says_little_where_a_provider_is_like_the_others() -> None:
    row = Profile(name="x")
    assert (row.base_url, row.key_variables, row.local, row.health) == (None, (), False, "/v1/models")
