-- /// feature-view
-- title = "Tick features"
-- kind = "feature"
-- grain = ["game_id", "tick"]
-- reads = ["ticks"]
-- source = "Sample standard deviation by Welford (1962) and, for 20 ticks, joined from two halves by Chan, Golub & LeVeque (1979); ln(1 + r) by Goldberg (1991), What every computer scientist should know about floating-point arithmetic, theorem 4; drawdown after Magdon-Ismail & Atiya (2004), Maximum drawdown, Risk 17(10)."
-- [columns]
-- game_id = { unit = "id", doc = "The game." }
-- tick = { unit = "ticks", doc = "Position in the game, from 0." }
-- ts = { unit = "UTC, us", doc = "When it happened.", null = "no source has a time of its own for the tick" }
-- price = { unit = "price", doc = "Multiplier, 1.0 at the first tick." }
-- rugged = { unit = "flag", doc = "Whether this is the tick of the rug." }
-- price_change = { unit = "price", doc = "price - price one tick ago.", window = "this tick and the one before", warm_up = 1, null = "the tick before was not seen" }
-- price_pct_change = { unit = "ratio", doc = "price_change / price one tick ago: 0.05 is five per cent up.", window = "this tick and the one before", warm_up = 1, null = "the tick before was not seen, or its price is 0" }
-- log_return = { unit = "log ratio", doc = "ln(price / price one tick ago).", window = "this tick and the one before", warm_up = 1, null = "the tick before was not seen, or one of the two prices is 0" }
-- volatility_5 = { unit = "price", doc = "Sample standard deviation of the last 5 prices.", window = "the last 5 ticks", warm_up = 4, null = "one of the 5 ticks was not seen" }
-- volatility_10 = { unit = "price", doc = "Sample standard deviation of the last 10 prices.", window = "the last 10 ticks", warm_up = 9, null = "one of the 10 ticks was not seen" }
-- volatility_20 = { unit = "price", doc = "Sample standard deviation of the last 20 prices.", window = "the last 20 ticks", warm_up = 19, null = "one of the 20 ticks was not seen" }
-- return_volatility_5 = { unit = "ratio", doc = "Sample standard deviation of the last 5 price_pct_change.", window = "the last 6 ticks", warm_up = 5, null = "one of the 5 price_pct_change is NULL" }
-- return_volatility_10 = { unit = "ratio", doc = "Sample standard deviation of the last 10 price_pct_change.", window = "the last 11 ticks", warm_up = 10, null = "one of the 10 price_pct_change is NULL" }
-- return_volatility_20 = { unit = "ratio", doc = "Sample standard deviation of the last 20 price_pct_change.", window = "the last 21 ticks", warm_up = 20, null = "one of the 20 price_pct_change is NULL" }
-- max_price = { unit = "price", doc = "Running maximum: the highest price up to and including this tick.", window = "all ticks seen so far" }
-- drawdown = { unit = "ratio", doc = "(price - max_price) / max_price: 0 at a new high, -0.25 a quarter below it.", window = "all ticks seen so far", null = "max_price is 0" }
-- max_drawdown = { unit = "ratio", doc = "The lowest drawdown so far.", window = "all ticks seen so far", null = "every drawdown so far is NULL" }
-- ticks_since_peak = { unit = "ticks", doc = "Ticks since the first one at the running maximum.", window = "all ticks seen so far" }
-- momentum_3 = { unit = "ratio", doc = "(price - price 3 ticks ago) / price 3 ticks ago.", window = "this tick and the one 3 ticks ago", warm_up = 3, null = "the tick 3 ticks ago was not seen, or its price is 0" }
-- momentum_5 = { unit = "ratio", doc = "(price - price 5 ticks ago) / price 5 ticks ago.", window = "this tick and the one 5 ticks ago", warm_up = 5, null = "the tick 5 ticks ago was not seen, or its price is 0" }
-- momentum_10 = { unit = "ratio", doc = "(price - price 10 ticks ago) / price 10 ticks ago.", window = "this tick and the one 10 ticks ago", warm_up = 10, null = "the tick 10 ticks ago was not seen, or its price is 0" }
-- zscore_10 = { unit = "deviations", doc = "(price - mean of the last 10 prices) / volatility_10.", window = "the last 10 ticks", warm_up = 9, null = "one of the 10 ticks was not seen, or all have the same price" }
-- ///
WITH levels AS (
    SELECT
        game_id,
        tick,
        ts,
        price,
        rugged,
        coalesce(lag(tick) OVER game = tick - 1, false) AS sees_1,
        lag(price) OVER game AS price_1,
        any_value(price) OVER tick_3 AS price_3,
        any_value(price) OVER tick_5 AS price_5,
        any_value(price) OVER tick_10 AS price_10,
        stddev_samp(price) OVER last_5 AS volatility_5,
        avg(price) OVER last_10 AS mean_10,
        var_samp(price) OVER last_10 AS variance_10,
        -- 20 ticks are two windows of 10 joined: frames of more than 16 rows are computed from blocks
        -- whose place depends on the games around, and so would the last bit of the result.
        avg(price) OVER ten_before AS mean_before,
        var_samp(price) OVER ten_before AS variance_before,
        max(price) OVER so_far AS max_price,
        max(price) OVER before AS max_before
    FROM ticks
    WINDOW
        game AS (PARTITION BY game_id ORDER BY tick),
        -- The one row that lies n ticks back, however many rows lie between; ticks are unique, so RANGE has no peers.
        tick_3 AS (PARTITION BY game_id ORDER BY tick RANGE BETWEEN 3 PRECEDING AND 3 PRECEDING),
        tick_5 AS (PARTITION BY game_id ORDER BY tick RANGE BETWEEN 5 PRECEDING AND 5 PRECEDING),
        tick_10 AS (PARTITION BY game_id ORDER BY tick RANGE BETWEEN 10 PRECEDING AND 10 PRECEDING),
        last_5 AS (PARTITION BY game_id ORDER BY tick ROWS BETWEEN 4 PRECEDING AND CURRENT ROW),
        last_10 AS (PARTITION BY game_id ORDER BY tick ROWS BETWEEN 9 PRECEDING AND CURRENT ROW),
        ten_before AS (PARTITION BY game_id ORDER BY tick ROWS BETWEEN 19 PRECEDING AND 10 PRECEDING),
        so_far AS (PARTITION BY game_id ORDER BY tick ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
        before AS (PARTITION BY game_id ORDER BY tick ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
),

changes AS (
    SELECT
        *,
        CASE WHEN sees_1 THEN price - price_1 END AS price_change,
        CASE WHEN sees_1 THEN (price - price_1) / nullif(price_1, 0) END AS price_pct_change,
        (price - max_price) / nullif(max_price, 0) AS drawdown,
        CASE WHEN max_before IS NULL OR price > max_before THEN tick END AS peak_tick
    FROM levels
),

-- Beyond some 1e150 squares and quotients overflow: what has no finite value is NULL.
finite_changes AS (
    SELECT * REPLACE (CASE WHEN isfinite(price_pct_change) THEN price_pct_change END AS price_pct_change)
    FROM changes
),

windows AS (
    SELECT
        *,
        -- A window counts ticks, not rows: it is whole where all its ticks were seen, one after the other.
        tick - (max(CASE WHEN NOT sees_1 THEN tick END) OVER so_far - 1) AS n_prices,
        tick - max(CASE WHEN price_pct_change IS NULL THEN tick END) OVER so_far AS n_returns,
        stddev_samp(price_pct_change) OVER last_5 AS return_volatility_5,
        avg(price_pct_change) OVER last_10 AS return_mean_10,
        var_samp(price_pct_change) OVER last_10 AS return_variance_10,
        avg(price_pct_change) OVER ten_before AS return_mean_before,
        var_samp(price_pct_change) OVER ten_before AS return_variance_before,
        min(drawdown) OVER so_far AS max_drawdown,
        tick - max(peak_tick) OVER so_far AS ticks_since_peak
    FROM finite_changes
    WINDOW
        last_5 AS (PARTITION BY game_id ORDER BY tick ROWS BETWEEN 4 PRECEDING AND CURRENT ROW),
        last_10 AS (PARTITION BY game_id ORDER BY tick ROWS BETWEEN 9 PRECEDING AND CURRENT ROW),
        ten_before AS (PARTITION BY game_id ORDER BY tick ROWS BETWEEN 19 PRECEDING AND 10 PRECEDING),
        so_far AS (PARTITION BY game_id ORDER BY tick ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
),

unbounded AS (
    SELECT
        *,
        -- ln(1 + r) for small moves r: the sum 1 + r loses of them what it rounds off, and so does its own r.
        CASE
            WHEN 1 + price_pct_change = 1 THEN price_pct_change
            WHEN abs(price_pct_change) < 0.5
                THEN ln(1 + price_pct_change) * price_pct_change / ((1 + price_pct_change) - 1)
            WHEN price > 0 AND price_pct_change IS NOT NULL THEN ln(price / price_1)
        END AS log_return,
        CASE WHEN n_prices >= 5 THEN volatility_5 END AS whole_volatility_5,
        CASE WHEN n_prices >= 10 AND isfinite(variance_10) THEN sqrt(variance_10) END AS whole_volatility_10,
        CASE
            WHEN n_prices >= 20
                THEN sqrt((
                    9 * (variance_10 + variance_before) + 5 * (mean_10 - mean_before) * (mean_10 - mean_before)
                ) / 19)
        END AS whole_volatility_20,
        CASE WHEN n_returns >= 5 THEN return_volatility_5 END AS whole_return_volatility_5,
        CASE WHEN n_returns >= 10 THEN sqrt(return_variance_10) END AS whole_return_volatility_10,
        CASE
            WHEN n_returns >= 20
                THEN sqrt((
                    9 * (return_variance_10 + return_variance_before)
                    + 5 * (return_mean_10 - return_mean_before) * (return_mean_10 - return_mean_before)
                ) / 19)
        END AS whole_return_volatility_20,
        (price - price_3) / nullif(price_3, 0) AS momentum_3,
        (price - price_5) / nullif(price_5, 0) AS momentum_5,
        (price - price_10) / nullif(price_10, 0) AS momentum_10,
        (price - mean_10) / nullif(whole_volatility_10, 0) AS zscore_10
    FROM windows
)

SELECT
    game_id,
    tick,
    ts,
    price,
    rugged,
    price_change,
    price_pct_change,
    CASE WHEN isfinite(log_return) THEN log_return END AS log_return,
    CASE WHEN isfinite(whole_volatility_5) THEN whole_volatility_5 END AS volatility_5,
    whole_volatility_10 AS volatility_10,
    CASE WHEN isfinite(whole_volatility_20) THEN whole_volatility_20 END AS volatility_20,
    CASE WHEN isfinite(whole_return_volatility_5) THEN whole_return_volatility_5 END AS return_volatility_5,
    CASE WHEN isfinite(whole_return_volatility_10) THEN whole_return_volatility_10 END AS return_volatility_10,
    CASE WHEN isfinite(whole_return_volatility_20) THEN whole_return_volatility_20 END AS return_volatility_20,
    max_price,
    drawdown,
    max_drawdown,
    ticks_since_peak,
    CASE WHEN isfinite(momentum_3) THEN momentum_3 END AS momentum_3,
    CASE WHEN isfinite(momentum_5) THEN momentum_5 END AS momentum_5,
    CASE WHEN isfinite(momentum_10) THEN momentum_10 END AS momentum_10,
    CASE WHEN isfinite(zscore_10) THEN zscore_10 END AS zscore_10
FROM unbounded
