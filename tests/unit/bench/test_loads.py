import pytest
from bench.loads import parse_result, percentile
from bench.process import BenchError

OUTPUT = """Running 1s test @ http://127.0.0.1:1/v1/chat/completions
Requests/sec:  79391.00

RESULT {"requests": 79391, "seconds": 1.099501, "bad_status": %d, "broken": %d}
"""


def test_what_wrk_says_is_read() -> None:
    run = parse_result(OUTPUT % (0, 0))
    assert (run.requests, run.seconds) == (79391, 1.099501)


@pytest.mark.parametrize("counts", [(1, 0), (0, 1)])
def test_a_run_with_one_failed_request_fails(counts: tuple[int, int]) -> None:
    with pytest.raises(BenchError, match="RESULT"):
        parse_result(OUTPUT % counts)


def test_a_run_without_a_request_fails() -> None:
    with pytest.raises(BenchError, match='"requests": 0'):
        parse_result('RESULT {"requests": 0, "seconds": 1.0, "bad_status": 0, "broken": 0}')


def test_what_wrk_says_instead_of_a_result_is_passed_on() -> None:
    with pytest.raises(BenchError, match="unable to connect"):
        parse_result("unable to connect to 127.0.0.1:1")


@pytest.mark.parametrize(("share", "value"), [(0.0, 0.0), (0.5, 50.0), (0.99, 99.0), (1.0, 99.0)])
def test_a_percentile_is_one_of_the_values(share: float, value: float) -> None:
    assert percentile([float(number) for number in range(100)], share) == value


def test_the_only_value_is_every_percentile() -> None:
    assert percentile([7.0], 0.99) == 7.0
