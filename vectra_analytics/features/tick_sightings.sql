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
        TRY_CAST(raw_json AS JSON) -> '$.prices' AS prices
    FROM complete_game
    WHERE game_id IS NOT NULL
),

game_list_prices AS (
    SELECT
        game_id,
        ts,
        session_id,
        seq,
        rugged,
        json_array_length(prices) - 1 AS rug_tick,
        unnest(range(CAST(json_array_length(prices) AS BIGINT))) AS tick,
        unnest(CAST(prices AS VARCHAR[])) AS price
    FROM game_lists
    WHERE json_type(prices) = 'ARRAY'
),

state_updates AS (
    SELECT
        *,
        -- Stores of other recorders keep the payload without its envelope.
        coalesce(TRY_CAST(raw_json AS JSON) -> '$.data', TRY_CAST(raw_json AS JSON)) AS data
    FROM ws_event
    WHERE
        event_name = 'gameStateUpdate'
        AND game_id IS NOT NULL
        AND (coalesce(active, true) OR coalesce(rugged, false))
),

payloads AS (
    SELECT
        game_id,
        ts,
        session_id,
        seq,
        CASE json_type(data)
            WHEN 'OBJECT' THEN data
            -- A list with a trace header in it: the payload is the last object that is none.
            WHEN 'ARRAY' THEN list_filter(
                CAST(data AS JSON[]),
                lambda part: json_type(part) = 'OBJECT' AND NOT json_exists(part, '$.__trace')
            )[-1]
        END -> '$.partialPrices.values' AS prices_by_tick
    FROM state_updates
),

partial_prices AS (
    SELECT
        game_id,
        ts,
        session_id,
        seq,
        -- A map that names a tick twice says nothing of it, and is no map.
        unnest(map_entries(TRY_CAST(prices_by_tick AS MAP(VARCHAR, VARCHAR)))) AS entry
    FROM payloads
    WHERE json_type(prices_by_tick) = 'OBJECT'
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
    WHERE regexp_full_match(entry.key, '0|[1-9][0-9]*')
)

SELECT *
FROM seen
WHERE game_id IS NOT NULL AND tick >= 0 AND price >= 0 AND isfinite(price)
