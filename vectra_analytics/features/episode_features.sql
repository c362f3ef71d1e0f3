-- /// feature-view
-- title = "Episode features"
-- kind = "summary"
-- grain = ["game_id"]
-- order = ["started_at", "game_id"]
-- reads = ["ticks"]
-- source = "One row a game: its whole curve in numbers. The rug is kept out of deviations, runs and spikes, which it would swamp, and is what ends a holding."
-- [columns]
-- game_id = { unit = "id", doc = "The game." }
-- started_at = { unit = "UTC, us", doc = "ts of its first tick.", window = "the first tick", null = "that tick has no time of its own" }
-- n_ticks = { unit = "count", doc = "Rows in `ticks`, the rug among them.", window = "the whole game" }
-- rug_tick = { unit = "ticks", doc = "The tick of the rug.", window = "the whole game", null = "no rug was seen" }
-- peak_price = { unit = "price", doc = "Highest price seen.", window = "the whole game" }
-- peak_tick = { unit = "ticks", doc = "First tick at the peak.", window = "the whole game" }
-- ticks_after_peak = { unit = "ticks", doc = "rug_tick - peak_tick.", window = "the whole game", null = "no rug was seen" }
-- return_volatility_before_rug = { unit = "ratio", doc = "Sample standard deviation of price_pct_change over all ticks that have one.", window = "the ticks before the rug", null = "there are fewer than two such ticks" }
-- log_return_volatility_before_rug = { unit = "log ratio", doc = "Sample standard deviation of log_return over all ticks that have one.", window = "the ticks before the rug", null = "there are fewer than two such ticks" }
-- max_drawdown_before_rug = { unit = "ratio", doc = "Lowest (price - running maximum) / running maximum: 0 where the price never fell.", window = "the ticks before the rug", null = "no price before the rug is above 0" }
-- longest_rise = { unit = "ticks", doc = "Most ticks in a row, without a hole, each above the one before; 0 where none is.", window = "the ticks before the rug" }
-- longest_fall = { unit = "ticks", doc = "The same for each below the one before.", window = "the ticks before the rug" }
-- n_spikes_up_15 = { unit = "count", doc = "Ticks with price_pct_change >= 0.15: 15 per cent, since the published process draws its big moves from there up and its drift never gets so far.", window = "the ticks before the rug" }
-- n_spikes_down_15 = { unit = "count", doc = "Ticks with price_pct_change <= -0.15.", window = "the ticks before the rug" }
-- value_held_to_5 = { unit = "price", doc = "What one unit bought at 1.0, the start, is worth 5 ticks on, or at the rug if that comes first: the price there.", window = "tick 5, or the rug if that comes first", null = "neither that tick nor a rug by then was seen" }
-- value_held_to_10 = { unit = "price", doc = "The same for 10 ticks.", window = "tick 10, or the rug if that comes first", null = "neither that tick nor a rug by then was seen" }
-- value_held_to_20 = { unit = "price", doc = "The same for 20 ticks.", window = "tick 20, or the rug if that comes first", null = "neither that tick nor a rug by then was seen" }
-- value_held_to_40 = { unit = "price", doc = "The same for 40 ticks.", window = "tick 40, or the rug if that comes first", null = "neither that tick nor a rug by then was seen" }
-- value_held_to_80 = { unit = "price", doc = "The same for 80 ticks.", window = "tick 80, or the rug if that comes first", null = "neither that tick nor a rug by then was seen" }
-- value_held_to_160 = { unit = "price", doc = "The same for 160 ticks.", window = "tick 160, or the rug if that comes first", null = "neither that tick nor a rug by then was seen" }
-- ///
WITH levels AS (
    SELECT
        game_id,
        tick,
        ts,
        price,
        rugged,
        min(tick) OVER game AS first_tick,
        max(price) OVER game AS highest_price,
        coalesce(lag(tick) OVER in_order = tick - 1, false) AS sees_1,
        lag(price) OVER in_order AS price_1,
        max(price) OVER so_far AS max_price
    FROM ticks
    WINDOW
        game AS (PARTITION BY game_id),
        in_order AS (PARTITION BY game_id ORDER BY tick),
        so_far AS (PARTITION BY game_id ORDER BY tick ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
),

changes AS (
    SELECT
        *,
        CASE WHEN sees_1 THEN (price - price_1) / nullif(price_1, 0) END AS price_pct_change,
        (price - max_price) / nullif(max_price, 0) AS drawdown,
        -- Ticks since the last one that did not rise, or fall: a hole or the start counts as such.
        tick - max(CASE WHEN NOT (sees_1 AND price > price_1) THEN tick END) OVER so_far AS rising_for,
        tick - max(CASE WHEN NOT (sees_1 AND price < price_1) THEN tick END) OVER so_far AS falling_for
    FROM levels
    WINDOW so_far AS (PARTITION BY game_id ORDER BY tick ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
),

-- Beyond some 1e150 quotients and squares overflow: what has no finite value is NULL.
finite_changes AS (
    SELECT
        * REPLACE (CASE WHEN isfinite(price_pct_change) THEN price_pct_change END AS price_pct_change),
        -- As in tick_features.
        CASE
            WHEN 1 + price_pct_change = 1 THEN price_pct_change
            WHEN abs(price_pct_change) < 0.5
                THEN ln(1 + price_pct_change) * price_pct_change / ((1 + price_pct_change) - 1)
            WHEN price > 0 AND isfinite(price_pct_change) THEN ln(price / price_1)
        END AS log_return
    FROM changes
),

per_game AS (
    SELECT
        game_id,
        any_value(ts) FILTER (WHERE tick = first_tick) AS started_at,
        count(*) AS n_ticks,
        max(tick) FILTER (WHERE rugged) AS rug_tick,
        max(price) FILTER (WHERE rugged) AS rug_price,
        max(price) AS peak_price,
        min(tick) FILTER (WHERE price = highest_price) AS peak_tick,
        stddev_samp(price_pct_change ORDER BY tick) FILTER (WHERE NOT rugged) AS return_volatility,
        stddev_samp(log_return ORDER BY tick) FILTER (WHERE NOT rugged) AS log_return_volatility,
        min(drawdown) FILTER (WHERE NOT rugged) AS max_drawdown,
        coalesce(max(rising_for) FILTER (WHERE NOT rugged), 0) AS longest_rise,
        coalesce(max(falling_for) FILTER (WHERE NOT rugged), 0) AS longest_fall,
        count(*) FILTER (WHERE NOT rugged AND price_pct_change >= 0.15) AS n_spikes_up_15,
        count(*) FILTER (WHERE NOT rugged AND price_pct_change <= -0.15) AS n_spikes_down_15,
        max(price) FILTER (WHERE tick = 5) AS price_5,
        max(price) FILTER (WHERE tick = 10) AS price_10,
        max(price) FILTER (WHERE tick = 20) AS price_20,
        max(price) FILTER (WHERE tick = 40) AS price_40,
        max(price) FILTER (WHERE tick = 80) AS price_80,
        max(price) FILTER (WHERE tick = 160) AS price_160
    FROM finite_changes
    GROUP BY game_id
)

SELECT
    game_id,
    started_at,
    n_ticks,
    rug_tick,
    peak_price,
    peak_tick,
    rug_tick - peak_tick AS ticks_after_peak,
    CASE WHEN isfinite(return_volatility) THEN return_volatility END AS return_volatility_before_rug,
    CASE WHEN isfinite(log_return_volatility) THEN log_return_volatility END AS log_return_volatility_before_rug,
    max_drawdown AS max_drawdown_before_rug,
    longest_rise,
    longest_fall,
    n_spikes_up_15,
    n_spikes_down_15,
    CASE WHEN rug_tick <= 5 THEN rug_price ELSE price_5 END AS value_held_to_5,
    CASE WHEN rug_tick <= 10 THEN rug_price ELSE price_10 END AS value_held_to_10,
    CASE WHEN rug_tick <= 20 THEN rug_price ELSE price_20 END AS value_held_to_20,
    CASE WHEN rug_tick <= 40 THEN rug_price ELSE price_40 END AS value_held_to_40,
    CASE WHEN rug_tick <= 80 THEN rug_price ELSE price_80 END AS value_held_to_80,
    CASE WHEN rug_tick <= 160 THEN rug_price ELSE price_160 END AS value_held_to_160
FROM per_game
