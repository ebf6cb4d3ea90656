"""Compares the table in docs/distributed.md with calculations by hand."""

import pytest

from benchmarks.scaling import Cost

COST = Cost(fixed=0.002, example=0.0001, bytes=25_000_000)


def test_an_all_reduce_moves_twice_the_bytes_but_for_one_part():
    # 8 workers send 7 parts of 3.125 MB out and 7 back; each takes 2.5 ms and a hop.
    assert COST.reduce(8) == pytest.approx(14 * (3.125e6 / 1.25e9 + 50e-6))


@pytest.mark.parametrize(("workers", "wanted"), [(8, 1), (512, 1), (512, 256)])
def test_the_batch_from_which_it_pays_is_where_it_begins_to(workers, wanted):
    batch = COST.batch_for(wanted, workers)

    def reached(batch):
        alone = 0.002 + 0.0001 * batch
        return alone / (0.002 + 0.0001 * batch / workers + COST.reduce(workers))

    assert reached(batch) >= wanted > reached(batch - 2)
