-- /// feature-view
-- title = "Tick sightings"
-- kind = "base"
-- grain = ["game_id", "tick", "session_id", "seq", "has_own_time"]
-- reads = ["game_tick", "complete_game", "ws_event"]
-- source = "Every place where an event names the price of a played tick; `ticks` picks one of them."
-- [columns]
-- game_id = { unit = "id", doc = "The game." }
-- tick = { unit = "ticks", doc = "Position in the game, from 0." }
-- ts = { unit = "UTC, us", doc = "When the event was recorded that named the price." }
-- price = { unit = "price", doc = "Multiplier, 1.0 at the first tick." }
-- rugged = { unit = "flag", doc = "Whether the event says that the game had rugged." }
-- source = { unit = "doc_type", doc = "The kind of event that named the price." }
-- source_rank = { unit = "rank", doc = "1 complete_game, 2 game_tick, 3 ws_event: the lower is believed." }
-- has_own_time = { unit = "flag", doc = "Whether ts is the time of this very tick, as in game_tick; a list of prices has none." }
-- session_id = { unit = "id", doc = "The recording session of the event." }
-- seq = { unit = "count", doc = "The event's number in its session." }
-- ///
WITH game_lists AS (
    SELECT
        game_id,
        ts,
        session_id,
        seq,
        coalesce(rugged, true) AS rugged,  -- the feed lists a game only after its rug
        CAST(raw_json -> '$.prices' AS VARCHAR[]) AS prices
    FROM complete_game
    WHERE game_id IS NOT NULL AND json_type(raw_json, '$.prices') = 'ARRAY'
),

game_list_prices AS (
    SELECT
        game_id,
        ts,
        session_id,
        seq,
        rugged,
        len(prices) - 1 AS rug_tick,
        unnest(range(len(prices))) AS tick,
        unnest(prices) AS price
    FROM game_lists
),

state_updates AS (
    SELECT *
    FROM ws_event
    WHERE
        event_name = 'gameStateUpdate'
        AND game_id IS NOT NULL
        AND (coalesce(active, true) OR coalesce(rugged, false))
),

partial_prices AS (
    SELECT
        game_id,
        ts,
        session_id,
        seq,
        unnest(map_entries(CAST(coalesce(
            raw_json -> '$.data.partialPrices.values',
            raw_json -> '$.data[#-1].partialPrices.values'  -- behind a trace header
        ) AS MAP(VARCHAR, VARCHAR)))) AS entry
    FROM state_updates
),

seen AS (
    SELECT
        game_id,
        tick,
        ts,
        price,
        -- Settlement and presale rows are told by both flags; an event that says nothing counts as played.
        coalesce(rugged, false) AS rugged,
        'game_tick' AS source,
        2 AS source_rank,
        true AS has_own_time,
        session_id,
        seq
    FROM game_tick
    WHERE coalesce(active, true) OR coalesce(rugged, false)
    UNION ALL
    SELECT
        game_id,
        tick,
        ts,
        TRY_CAST(price AS DOUBLE) AS price,
        rugged AND tick = rug_tick AS rugged,
        'complete_game' AS source,
        1 AS source_rank,
        false AS has_own_time,
        session_id,
        seq
    FROM game_list_prices
    UNION ALL
    SELECT
        game_id,
        tick,
        ts,
        price,
        coalesce(rugged, false) AS rugged,
        'ws_event' AS source,
        3 AS source_rank,
        true AS has_own_time,
        session_id,
        seq
    FROM state_updates
    UNION ALL
    SELECT
        game_id,
        TRY_CAST(entry.key AS BIGINT) AS tick,
        ts,
        TRY_CAST(entry.value AS DOUBLE) AS price,
        false AS rugged,
        'ws_event' AS source,
        3 AS source_rank,
        false AS has_own_time,
        session_id,
        seq
    FROM partial_prices
)

SELECT *
FROM seen
WHERE game_id IS NOT NULL AND tick >= 0 AND price >= 0 AND isfinite(price)
