"""What swaps cost, the size that is chosen, and the swaps from which on a server is cheaper."""

from __future__ import annotations

import pytest

from tools.swap_costs import FREE_GB_SECONDS, SizeCost, break_even, choose_size, dollars, gigabyte_seconds

CURVE = [
    SizeCost(512, 18.6, 11.6),
    SizeCost(1024, 8.6, 4.2),
    SizeCost(1769, 5.6, 2.4),
    SizeCost(3008, 4.7, 1.6),
]


def test_a_gigabyte_second_is_1024_mb_for_a_second() -> None:
    assert gigabyte_seconds(1024, 2.5) == 2.5
    assert gigabyte_seconds(512, 3.0) == 1.5


def test_the_price_is_that_of_the_price_list() -> None:
    assert dollars(6_000_000, 0) == pytest.approx(100.0, rel=1e-4)
    assert dollars(0, 1_000_000) == pytest.approx(0.20)


def test_a_thousand_swaps_cost_a_thousand_times_one() -> None:
    assert 1000 * dollars(CURVE[2].cold_gb_s) == pytest.approx(0.1614, abs=0.0002)


def test_the_server_is_cheaper_from_the_swap_on_that_costs_more_than_it() -> None:
    swaps = break_even(4.2)

    assert (swaps - 1) * dollars(4.2) < 7.0 < (swaps + 1) * dollars(4.2)


def test_free_gigabyte_seconds_come_on_top() -> None:
    swaps = break_even(9.7, FREE_GB_SECONDS)

    bill = swaps * dollars(9.7) - dollars(FREE_GB_SECONDS, 0)
    assert bill == pytest.approx(7.0, abs=dollars(9.7))


def test_the_fastest_of_the_sizes_that_cost_about_the_same_is_chosen() -> None:
    assert choose_size(CURVE).memory_mb == 1769


@pytest.mark.parametrize(("warm_s", "chosen"), [(1.19, 2048), (1.4, 1024)])
def test_a_faster_size_may_cost_a_tenth_more(warm_s: float, chosen: int) -> None:
    cheapest, faster = SizeCost(1024, 4.0, 2.2), SizeCost(2048, 2.0, warm_s)

    assert choose_size([cheapest, faster]).memory_mb == chosen


def test_cold_swaps_count_too() -> None:
    even, slow_start = SizeCost(1024, 4.0, 2.0), SizeCost(2048, 8.0, 1.0)

    assert choose_size([even, slow_start]) == even


def test_nothing_is_chosen_of_nothing() -> None:
    with pytest.raises(ValueError, match="No size"):
        choose_size([])
