"""The statistics of studies against scipy, counts by hand and published examples."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from dreamopt import statistics as st

INF = math.inf


def everything(differences: list[float], zero_method: str) -> float:
    """Return scipy's probability over all choices of signs, greater."""
    ranks = np.sign(differences) * stats.rankdata(np.abs(differences))
    method = stats.PermutationMethod(n_resamples=INF)
    return float(stats.wilcoxon(ranks, zero_method=zero_method, alternative="greater", method=method).pvalue)


class TestMeans:
    @pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 36])
    def test_the_interquartile_mean_is_scipys_trimmed_mean(self, count: int) -> None:
        values = np.random.default_rng(count).standard_normal((3, count))
        np.testing.assert_allclose(st.iqm(values), stats.trim_mean(values, 0.25, axis=1), rtol=1e-12)
        np.testing.assert_allclose(st.iqm(values.T, axis=0), stats.trim_mean(values, 0.25, axis=1), rtol=1e-12)

    def test_a_quarter_of_failures_does_not_move_it_and_more_do(self) -> None:
        assert st.iqm([-INF, -INF, 1, 2, 4, 5, 8, 9]) == 3.0
        assert st.iqm([-INF, -INF, -INF, 2, 4, 5, 8, 9]) == -INF
        assert st.iqm([-INF] * 5) == -INF

    def test_infinities_of_both_signs_cancel(self) -> None:
        assert st.mean([INF, -INF, 6]) == 2.0
        assert st.mean([INF, INF, -INF, 6]) == INF
        assert st.mean(np.array([[1, 3, 5], [1, -INF, 5]])).tolist() == [3.0, -INF]

    @pytest.mark.parametrize("count", [1, 2, 5, 8])
    def test_median_and_quantiles_are_numpys(self, count: int) -> None:
        values = np.random.default_rng(count).standard_normal((3, count))
        np.testing.assert_allclose(st.median(values), np.median(values, axis=1), rtol=1e-12)
        for q in (0.025, 0.25, 0.5, 0.9, 1.0):
            np.testing.assert_allclose(st.quantile(values, q), np.quantile(values, q, axis=1), rtol=1e-12)

    def test_medians_and_quantiles_of_infinities(self) -> None:
        assert st.median([-INF, -INF, 3, 4]) == -INF
        assert st.median([-INF, -INF, INF, INF]) == 0.0
        assert st.quantile([-INF, 1, 2], 0.25) == -INF
        assert st.quantile([1, 2, INF], 0.75) == INF
        assert st.quantile([-INF, 1, 2], 0.75) == 1.5

    def test_failures_of_both_differ_by_nothing(self) -> None:
        assert st.difference([1, -INF, 2, -INF], [-INF, 1, 5, -INF]).tolist() == [INF, -INF, -3.0, 0.0]

    def test_numbers_for_json(self) -> None:
        assert [st.json_number(value) for value in (1.5, INF, -INF, math.nan)] == [1.5, "inf", "-inf", None]
        assert (-st.Estimate(1, 0.5, 2)) == st.Estimate(-1, -2, -0.5)
        assert [
            one.excludes_zero for one in (st.Estimate(1, 0.1, 2), st.Estimate(0, -1, 1), st.Estimate(-1, -2, -INF), st.NO_ESTIMATE)
        ] == [
            True,
            False,
            True,
            False,
        ]


class TestSignedRank:
    def test_the_example_of_wilcoxon_as_scipy_has_it(self) -> None:
        heights = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]  # Darwin's maize: W = 24, p = 0.0413
        assert st.signed_rank(heights).p == pytest.approx(0.041259765625, rel=1e-12)
        assert st.signed_rank(heights).greater == pytest.approx(stats.wilcoxon(heights, alternative="greater").pvalue, rel=1e-12)

    @pytest.mark.parametrize("count", [1, 4, 6, 12, 23, 50])
    def test_without_ties_it_is_scipys_exact_test(self, count: int) -> None:
        values = np.random.default_rng(count).standard_normal(count) + 0.3
        test = st.signed_rank(values)
        for side, p in (("two-sided", test.p), ("less", test.less), ("greater", test.greater)):
            assert p == pytest.approx(stats.wilcoxon(values, alternative=side, method="exact").pvalue, rel=1e-9)

    @pytest.mark.parametrize("values", [[1.0, 1, 2, -2, 3, 3, 3], [0.0, 0, 1, 2, -3, 4, 4], [0.0, 1, 1, 1, -1, 5]])
    def test_ties_and_zeros_are_counted_over_all_signs(self, values: list[float]) -> None:
        assert st.signed_rank(values).greater == pytest.approx(everything(values, "pratt"), rel=1e-12)

    def test_ties_and_zeros_counted_by_hand(self) -> None:
        # ranks of 0 1 1 2 -3: 1 2.5 2.5 4 5; of the 16 sums of (2.5 2.5 4 5), those of at least 9 are 9, 9 (4+5, 2.5+2.5+4), 10, 11.5, 11.5, 14
        ranks = [2.5, 2.5, 4, 5]
        sums = [sum(chosen) for k in range(5) for chosen in itertools.combinations(ranks, k)]
        expected = sum(one >= 9 for one in sums) / 16
        test = st.signed_rank([0, 1, 1, 2, -3])
        assert test.greater == expected
        assert test.pairs == 4

    def test_infinite_differences_have_the_highest_ranks(self) -> None:
        assert st.signed_rank([1, 2, 3, -INF]) == st.signed_rank([1, 2, 3, -100])
        assert st.signed_rank([INF, INF, -1, 2, 3]) == st.signed_rank([9, 9, -1, 2, 3])

    def test_nothing_differs(self) -> None:
        assert st.signed_rank([0, 0, 0]) == st.SignedRank(1.0, 1.0, 1.0, 0)
        assert st.signed_rank([]).p == 1.0

    def test_the_smallest_probabilities(self) -> None:
        assert [st.signed_rank(range(1, n + 1)).p for n in (4, 5, 6)] == [0.125, 0.0625, 0.03125]
        assert all(st.signed_rank(np.arange(1.0, n + 1)).p == 2.0 ** (1 - n) for n in (8, 12, 20))

    def test_very_many_pairs_take_the_normal_distribution(self) -> None:
        values = np.random.default_rng(0).standard_normal(400) + 0.1
        expected = stats.wilcoxon(values, alternative="greater", method="approx").pvalue
        assert st.signed_rank(values).greater == pytest.approx(expected, rel=1e-9)
        assert st.signed_rank(values[:300]).greater == pytest.approx(
            stats.wilcoxon(values[:300], alternative="greater", method="exact").pvalue, rel=1e-6
        )

    def test_holm_by_hand(self) -> None:
        # R: p.adjust(c(0.01, 0.02, 0.03, 0.005), "holm") = 0.03 0.04 0.04 0.02
        assert st.holm([0.01, 0.02, 0.03, 0.005]) == pytest.approx((0.03, 0.04, 0.04, 0.02), rel=1e-12)
        assert st.holm([0.6, 0.7]) == (1.0, 1.0)
        assert st.holm([]) == ()

    def test_units_needed_are_the_fewest(self) -> None:
        for rivals in (1, 2, 3, 5, 9):
            units = st.units_needed(rivals)
            assert st.signed_rank(np.arange(1.0, units + 1)).p * rivals < 0.05
            assert st.signed_rank(np.arange(1.0, units)).p * rivals >= 0.05

    def test_behind_needs_four_pairs_and_one_side(self) -> None:
        assert st.is_behind([0, 1, 2, 3], [1, 3, 5, 7])
        assert not st.is_behind([1, 3, 5, 7], [0, 1, 2, 3])
        assert not st.is_behind([0, 1, 2], [1, 3, 5])
        assert st.is_behind([-INF, -INF, 0, 1, 2], [0, 1, 2, 1.5, 2.2])
        assert not st.is_behind([-INF, -INF, -INF, -INF], [-INF, -INF, -INF, -INF])
        assert not st.is_behind([0, 1, 2, 3], [1, 3, 5, 7], p=st.bonferroni(0.1, looks=2))


class TestPairs:
    def test_shares_won_by_hand(self) -> None:
        first = [[3, 1, math.nan], [2, -INF, 4]]
        second = [[2, 1, 7], [4, -INF, -INF]]
        assert st.win_share(first, second) == (1 + 0.5 + 0 + 0.5 + 1) / 5
        assert st.win_share(second, first) == pytest.approx(1 - st.win_share(first, second))
        assert math.isnan(st.win_share([[math.nan]], [[1.0]]))

    def test_probability_of_improvement_is_mann_whitneys_by_unit(self) -> None:
        rng = np.random.default_rng(1)
        first, second = rng.integers(0, 6, (5, 4)).astype(float), rng.integers(0, 6, (5, 4)).astype(float)
        expected = np.mean([stats.mannwhitneyu(a, b).statistic / 16 for a, b in zip(first, second, strict=True)])
        assert st.improvement(first, second) == pytest.approx(expected, rel=1e-12)

    def test_probability_of_improvement_with_missing_and_failed_runs(self) -> None:
        assert st.improvement([[1, math.nan], [-INF, 2]], [[0, 2], [1, -INF]]) == pytest.approx((1 / 2 + (0.5 + 1 + 1) / 4) / 2)

    def test_friedman_is_scipys(self) -> None:
        values = np.random.default_rng(2).standard_normal((4, 7)) + np.arange(4)[:, None]
        assert st.friedman(values) == pytest.approx(stats.friedmanchisquare(*values).pvalue, rel=1e-12)
        values[0, 3] = -INF
        finite = np.where(np.isinf(values), -99, values)
        assert st.friedman(values) == pytest.approx(stats.friedmanchisquare(*finite).pvalue, rel=1e-12)
        assert st.friedman(np.ones((3, 5))) == 1.0
        assert math.isnan(st.friedman(values[:2]))

    def test_mean_ranks_are_those_of_demsars_table(self) -> None:
        # J. Demsar 2006, table 6: C4.5 without and with tuned m, cf, both, on 14 data sets; mean ranks 3.143, 2.000, 2.893, 1.964
        c45 = [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957]
        m = [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978]
        cf = [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.000, 0.965, 0.614, 0.9751, 0.946]
        both = [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.000, 0.962, 0.669, 0.975, 0.970]
        assert st.mean_ranks([c45, m, cf, both]) == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)


class TestBootstrap:
    def test_seeds_stay_within_their_units(self) -> None:
        values = np.array([[0.0, 1, 2], [10, 11, math.nan], [20, math.nan, math.nan]])
        drawn = st.Draws([0, 0, 0], 3, 200, 0).seeds_within_units(values)
        assert drawn.shape == (200, 6)
        assert sorted(np.unique(drawn[:, :3])) == [0, 1, 2]
        assert sorted(np.unique(drawn[:, 3:5])) == [10, 11]
        assert (drawn[:, 5] == 20).all()

    def test_units_stay_within_their_net(self) -> None:
        values = np.array([[0.0, 1], [2, 3], [100, math.nan], [102, 103]])
        drawn = st.Draws([0, 0, 1, 1], 2, 400, 0).two_levels(values)
        assert drawn.shape == (400, 4)
        assert drawn[:, :2].max() <= 3
        assert drawn[:, 2:].min() >= 100
        assert set(np.unique(drawn[:, 2:])) == {100, 102, 102.5, 103}

    def test_an_unequal_number_of_seeds_is_weighted_by_unit(self) -> None:
        values = np.array([[0.0, 4], [10, math.nan]])
        drawn = st.Draws([0, 0], 2, 4000, 1).two_levels(values)
        assert drawn.mean() == pytest.approx(6, rel=0.05)

    def test_the_spread_of_the_mean_is_that_of_both_levels(self) -> None:
        rng = np.random.default_rng(3)
        values = rng.standard_normal((40, 1)) + rng.standard_normal((40, 6))
        drawn = st.Draws(np.zeros(40), 6, 4000, 2).two_levels(values).mean(1)
        between, within = values.mean(1).var() / 40, values.var(1).mean() / (40 * 6)
        assert drawn.var() == pytest.approx(between + within, rel=0.1)

    def test_the_interval_of_the_stratified_bootstrap_is_scipys(self) -> None:
        values = np.random.default_rng(4).standard_normal((6, 5))
        ours = st.estimate(values, st.iqm, st.Draws(np.zeros(6), 5, 4000, 5), 0.9)

        def statistic(*units: np.ndarray, axis: int = -1) -> np.ndarray:
            return stats.trim_mean(np.concatenate(units, axis=axis), 0.25, axis=axis)

        theirs = stats.bootstrap(
            tuple(values), statistic, n_resamples=4000, confidence_level=0.9, method="percentile", rng=1, vectorized=True
        )
        width = theirs.confidence_interval.high - theirs.confidence_interval.low
        assert ours.value == pytest.approx(stats.trim_mean(values.ravel(), 0.25), rel=1e-12)
        assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.06 * width)
        assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.06 * width)

    def test_failures_reach_into_the_interval(self) -> None:
        values = np.ones((6, 4))
        values[:2] = -INF
        values[2, :2] = -INF
        one = st.estimate(values, st.median, st.Draws(np.zeros(6), 4, 500, 0), 0.95)
        assert (one.value, one.low, one.high) == (1.0, -INF, 1.0)  # with all four of the third unit, 1 in 16, half of the runs have failed
        everywhere = st.estimate(np.full((3, 2), -INF), st.iqm, st.Draws(np.zeros(3), 2, 100, 0), 0.95)
        assert (everywhere.value, everywhere.low, everywhere.high) == (-INF, -INF, -INF)

    def test_one_seed_draws_units(self) -> None:
        values = np.arange(8.0)[:, None]
        one = st.estimate(values, st.iqm, st.Draws(np.zeros(8), 1, 1000, 0), 0.95)
        assert one.low < 3 < one.value == 3.5 < 4 < one.high

    def test_nothing_has_no_estimate(self) -> None:
        assert math.isnan(st.estimate(np.full((2, 2), math.nan), st.iqm, st.Draws([0, 0], 2, 10, 0), 0.95).value)


class TestRuntimes:
    TRACE = ([0, 8, 16, 32], [1.0, 3.0, 2.0, 7.0])

    def test_first_reached(self) -> None:
        assert st.first_reached(self.TRACE, [1, 3, 3.1, 7, 8]).tolist() == [0, 8, 32, 32, INF]
        assert st.first_reached(([0, 8], [math.nan, 2]), [1.5]).tolist() == [8]
        assert st.first_reached(([], []), [1.5]).tolist() == [INF]

    def test_targets_are_medians_of_what_the_reference_had_reached(self) -> None:
        others = ([0, 10, 20, 40], [0.0, 5.0, 6.0, 6.0]), ([0, 8, 16, 32], [2.0, 4.0, 4.5, math.nan])
        assert st.targets_of([self.TRACE, *others], [8, 16, 32]).tolist() == [
            3,
            4.5,
            6,
        ]  # at 8: 3, 0, 4; at 16: 3, 5, 4.5; at 32: 7, 6, 4.5

    def test_a_failed_reference_run_reached_nothing(self) -> None:
        assert st.targets_of([self.TRACE, ([], []), ([], [])], [8]).tolist() == [-INF]

    def test_run_lengths(self) -> None:
        assert st.run_lengths(512) == (8, 16, 32, 64, 128, 256, 512)
        assert st.run_lengths(500)[-1] == 256
        assert st.run_lengths(5000)[-1] == 512
        assert st.run_lengths(7) == ()

    def test_expected_runtime_by_hand(self) -> None:
        # reached at 20 and 40, two runs of 100 and 60 in vain: (20 + 40 + 100 + 60) / 2
        made = st.expected_runtime([20, INF, 40, INF], [100, 100, 100, 60], 16)
        assert made == st.Ert(16, 110.0, 2, 4)
        assert st.expected_runtime([INF], [100]).value == INF

    def test_the_share_of_targets_reached(self) -> None:
        curve = st.ecdf([[8, INF], [8, 64], [math.nan, math.nan]])
        assert [curve.at(x) for x in (7, 8, 63, 64, 1e9)] == [0, 0.5, 0.5, 0.75, 0.75]

    def test_values_hold_until_the_next_point_and_not_beyond_the_last(self) -> None:
        assert st.values_at(self.TRACE, [0, 7, 8, 31, 32]).tolist() == [1, 1, 3, 2, 7]
        assert math.isnan(st.values_at(self.TRACE, [33])[0])
        assert st.values_at(self.TRACE, [33], stays=True).tolist() == [7]

    def test_bands_end_where_the_first_run_ends(self) -> None:
        band = st.bands([[1, 2, 3], [2, 4, math.nan], [3, 9, 9], [-INF, -INF, -INF]], [0, 4, 8])
        assert band.x == (0.0, 4.0)
        assert band.middle == (1.5, 3.0)
        assert band.low == (-INF, -INF)
        assert band.high == (2.25, 5.25)


class TestProfiles:
    TIMES = np.array([[10.0, 20, 30, INF], [20, 20, 10, INF], [40, 10, INF, 50]])

    def test_ratios_and_profiles_by_hand(self) -> None:
        ratios = st.performance_ratios(self.TIMES)
        assert ratios.tolist() == [[1, 2, 3, INF], [2, 2, 1, INF], [4, 1, INF, 1]]
        profile = st.performance_profile(ratios[0])
        assert [profile.at(tau) for tau in (1, 1.9, 2, 3, 100)] == [0.25, 0.25, 0.5, 0.75, 0.75]

    def test_two_contestants_change_places_when_a_third_leaves(self) -> None:
        together, alone = st.performance_ratios(self.TIMES), st.performance_ratios(self.TIMES[:2])
        assert st.performance_profile(together[1]).at(1) == st.performance_profile(together[0]).at(1) == 0.25
        assert st.performance_profile(alone[0]).at(1) == st.performance_profile(alone[1]).at(1) == 0.5

    def test_the_score_is_the_area_below_the_profile(self) -> None:
        ratios = st.performance_ratios(self.TIMES)
        tau = np.linspace(1, 4, 300001)
        for row in ratios:
            curve = st.performance_profile(row)
            area = np.trapezoid(np.array((*curve.y, 0.0))[np.searchsorted(curve.x, tau, side="right") - 1], tau) / 3
            assert st.integrated_score(row) == pytest.approx(area, abs=1e-4)

    def test_times_of_nothing(self) -> None:
        assert st.performance_ratios([[0, 0.0], [4, 0], [8, 0]]).tolist() == [[1, 1], [1, 1], [2, 1]]

    def test_data_profiles_count_budgets(self) -> None:
        assert [st.data_profile(self.TIMES[2]).at(budget) for budget in (9, 10, 45, 50)] == [0, 0.25, 0.5, 0.75]


class TestSensitivity:
    def test_the_flat_part_by_hand(self) -> None:
        # on 1..16 by ratios, 4 octaves: 2, 4, 8 stand for one octave each, the ends for half of one
        assert st.flat_part([1, 2, 4, 8, 16], [0, 0.95, 1, 0.94, 0], 1, 16) == pytest.approx(0.5)
        assert st.flat_part([1, 2, 4, 8, 16], [1, 1, 1, 1, 1], 1, 16) == 1.0
        assert st.flat_part([16, 1, 4], [1, 0, 0], 1, 16) == pytest.approx(0.25)
        assert st.flat_part([0, 1, 2], [0, 1, 1], 0, 2, log=False) == pytest.approx(0.75)
        assert st.flat_part([1, 10], [-2, -1], math.nan, math.nan) == 0.5
        assert st.flat_part(["a", "b", "c"], [1, 0.97, 0], math.nan, math.nan) == pytest.approx(2 / 3)
        assert math.isnan(st.flat_part([1, 2], [-INF, -INF], 1, 2))

    def test_quartiles_and_the_chosen_end(self) -> None:
        tried = [(2.0, 1.0), (0.5, 0.0), (0.5, 1.0), (0.5, 2.0), (2.0, -INF)]
        made = st.sensitivity("optimizer.step_size", tried, 0.5, 2, chosen=2)
        assert made.values == (0.5, 2.0)
        assert (made.lower, made.middle, made.upper) == ((0.5, -INF), (1.0, -INF), (1.5, -INF))
        assert (made.runs, made.failures) == ((3, 2), (0, 1))
        assert made.at_end
        assert not st.sensitivity("optimizer.step_size", tried, 0.5, 8, chosen=2).at_end
        assert not st.sensitivity("views", [(1, 0.0), (2, 1.0)], chosen=2).at_end
        assert st.sensitivity("views", [(1, 0.0), (2, 1.0), (4, 2.0)], chosen=4).at_end
