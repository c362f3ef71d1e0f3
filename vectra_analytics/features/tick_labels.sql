-- /// feature-view
-- title = "Tick labels"
-- kind = "label"
-- grain = ["game_id", "tick"]
-- reads = ["ticks"]
-- source = "What comes after each tick. A side bet wins where its 40 ticks hold the rug, the last of them included; after the rug a price stays what it was at the rug."
-- [columns]
-- game_id = { unit = "id", doc = "The game." }
-- tick = { unit = "ticks", doc = "Position in the game, from 0." }
-- ticks_to_rug = { unit = "ticks", doc = "rug tick - tick: 0 on the tick of the rug.", window = "this tick and the rug", null = "no rug was seen" }
-- rugs_within_5 = { unit = "flag", doc = "Whether tick < rug tick <= tick + 5; false on the tick of the rug.", window = "the next 5 ticks", null = "neither a rug nor a tick from tick + 5 on was seen" }
-- rugs_within_10 = { unit = "flag", doc = "The same for 10 ticks.", window = "the next 10 ticks", null = "neither a rug nor a tick from tick + 10 on was seen" }
-- rugs_within_20 = { unit = "flag", doc = "The same for 20 ticks.", window = "the next 20 ticks", null = "neither a rug nor a tick from tick + 20 on was seen" }
-- rugs_within_40 = { unit = "flag", doc = "The same for 40 ticks: whether a side bet placed now wins.", window = "the next 40 ticks", null = "neither a rug nor a tick from tick + 40 on was seen" }
-- forward_return_5 = { unit = "ratio", doc = "(price 5 ticks on, or at the rug if that comes first, - price) / price.", window = "this tick and tick + 5 or the rug", null = "the game ends here, the later tick was not seen, or the price is 0" }
-- forward_return_10 = { unit = "ratio", doc = "The same 10 ticks on.", window = "this tick and tick + 10 or the rug", null = "the game ends here, the later tick was not seen, or the price is 0" }
-- forward_return_20 = { unit = "ratio", doc = "The same 20 ticks on.", window = "this tick and tick + 20 or the rug", null = "the game ends here, the later tick was not seen, or the price is 0" }
-- forward_return_40 = { unit = "ratio", doc = "The same 40 ticks on.", window = "this tick and tick + 40 or the rug", null = "the game ends here, the later tick was not seen, or the price is 0" }
-- forward_max_40 = { unit = "ratio", doc = "(highest price of the next 40 ticks, up to the rug, - price) / price: below 0 where none comes up to this one.", window = "the next 40 ticks, up to the rug", null = "the game ends here, one of those ticks was not seen, or the price is 0" }
-- forward_drawdown_40 = { unit = "ratio", doc = "(lowest price of the next 40 ticks, up to the rug, - price) / price: above 0 where all are above this one.", window = "the next 40 ticks, up to the rug", null = "the game ends here, one of those ticks was not seen, or the price is 0" }
-- ///
WITH seen AS (
    SELECT
        game_id,
        tick,
        price,
        -- A game has one rugged tick at most, the last one.
        max(CASE WHEN rugged THEN tick END) OVER game AS rug_tick,
        max(CASE WHEN rugged THEN price END) OVER game AS rug_price,
        max(tick) OVER game AS last_tick,
        lead(tick) OVER in_order - tick AS ticks_to_next
    FROM ticks
    WINDOW
        game AS (PARTITION BY game_id),
        in_order AS (PARTITION BY game_id ORDER BY tick)
),

-- A row without a price for each tick of a hole, so that n rows on is n ticks on. No label looks further than 40
-- ticks, so the first 40 of a long hole will do.
without_holes AS (
    SELECT * FROM seen
    UNION ALL
    SELECT * REPLACE (tick + unnest(range(1, least(ticks_to_next, 41))) AS tick, NULL AS price)
    FROM seen
    WHERE ticks_to_next > 1
),

ahead AS (
    SELECT
        *,
        -- A tick is any whole number of 64 bits: the difference of two never overflows, a sum may.
        rug_tick - tick AS ticks_to_rug,
        last_tick - tick AS ticks_to_last,
        CASE WHEN rug_tick - tick BETWEEN 1 AND 5 THEN rug_price ELSE lead(price, 5) OVER in_order END AS price_5,
        CASE WHEN rug_tick - tick BETWEEN 1 AND 10 THEN rug_price ELSE lead(price, 10) OVER in_order END AS price_10,
        CASE WHEN rug_tick - tick BETWEEN 1 AND 20 THEN rug_price ELSE lead(price, 20) OVER in_order END AS price_20,
        CASE WHEN rug_tick - tick BETWEEN 1 AND 40 THEN rug_price ELSE lead(price, 40) OVER in_order END AS price_40,
        max(coalesce(price, 'infinity')) OVER next_40 AS highest_40,  -- infinite where there is a hole
        min(price) OVER next_40 AS lowest_40
    FROM without_holes
    WINDOW
        in_order AS (PARTITION BY game_id ORDER BY tick),
        next_40 AS (PARTITION BY game_id ORDER BY tick ROWS BETWEEN 1 FOLLOWING AND 40 FOLLOWING)
),

forward AS (
    SELECT
        game_id,
        tick,
        ticks_to_rug,
        ticks_to_last,
        (price_5 - price) / nullif(price, 0) AS return_5,
        (price_10 - price) / nullif(price, 0) AS return_10,
        (price_20 - price) / nullif(price, 0) AS return_20,
        (price_40 - price) / nullif(price, 0) AS return_40,
        (highest_40 - price) / nullif(price, 0) AS max_40,
        (lowest_40 - price) / nullif(price, 0) AS min_40,
        highest_40 < 'infinity' AND (ticks_to_rug IS NOT NULL OR ticks_to_last >= 40) AS whole_40
    FROM ahead
    WHERE price IS NOT NULL
)

SELECT
    game_id,
    tick,
    ticks_to_rug,
    coalesce(ticks_to_rug BETWEEN 1 AND 5, CASE WHEN ticks_to_last >= 5 THEN false END) AS rugs_within_5,
    coalesce(ticks_to_rug BETWEEN 1 AND 10, CASE WHEN ticks_to_last >= 10 THEN false END) AS rugs_within_10,
    coalesce(ticks_to_rug BETWEEN 1 AND 20, CASE WHEN ticks_to_last >= 20 THEN false END) AS rugs_within_20,
    coalesce(ticks_to_rug BETWEEN 1 AND 40, CASE WHEN ticks_to_last >= 40 THEN false END) AS rugs_within_40,
    -- Beyond some 1e150 quotients overflow: what has no finite value is NULL.
    CASE WHEN isfinite(return_5) THEN return_5 END AS forward_return_5,
    CASE WHEN isfinite(return_10) THEN return_10 END AS forward_return_10,
    CASE WHEN isfinite(return_20) THEN return_20 END AS forward_return_20,
    CASE WHEN isfinite(return_40) THEN return_40 END AS forward_return_40,
    CASE WHEN whole_40 AND isfinite(max_40) THEN max_40 END AS forward_max_40,
    CASE WHEN whole_40 AND isfinite(min_40) THEN min_40 END AS forward_drawdown_40
FROM forward
