import pytest

from annotools.formats.polygons import count_corners

A, B, C = (0.0, 0.0), (2.0, 0.5), (2.0, 3.0)


@pytest.mark.parametrize(
    ("points", "corners"),
    [
        ([A, B, C], 3),
        ([A, B, C, A], 3),
        ([A, A, B, C, C, C], 3),
        ([A, B, A, C], 4),
        ([A, B], 2),
        ([A, A], 0),
        ([], 0),
    ],
)
def test_a_point_given_again_at_once_is_no_corner(points, corners):
    assert count_corners(points) == corners
