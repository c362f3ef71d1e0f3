-- /// feature-view
-- title = "Ticks"
-- kind = "base"
-- grain = ["game_id", "tick"]
-- reads = ["tick_sightings"]
-- source = "The canonical series: the played ticks from 0 to the rug, each once, whatever recorded it."
-- [columns]
-- game_id = { unit = "id", doc = "The game." }
-- tick = { unit = "ticks", doc = "Position in the game, from 0; ordered by it, never by the order of recording." }
-- ts = { unit = "UTC, us", doc = "When it happened, by the best source with a time of its own for the tick; else NULL." }
-- price = { unit = "price", doc = "Multiplier, 1.0 at the first tick." }
-- rugged = { unit = "flag", doc = "Whether this is the tick of the rug; no tick comes after it." }
-- source = { unit = "doc_type", doc = "The kind of event that gave the price." }
-- ///
WITH rugs AS (
    SELECT game_id, min(tick) AS rug_tick
    FROM tick_sightings
    WHERE rugged
    GROUP BY game_id
),

played AS (
    -- What comes after the first rugged tick are ghosts: the feed repeats the rug under a later tick.
    SELECT s.*, s.tick IS NOT DISTINCT FROM r.rug_tick AS is_rug
    FROM tick_sightings AS s
    LEFT JOIN rugs AS r USING (game_id)
    WHERE r.rug_tick IS NULL OR s.tick <= r.rug_tick
)

SELECT
    game_id,
    tick,
    first_value(CASE WHEN has_own_time THEN ts END IGNORE NULLS) OVER best_first AS ts,
    price,
    is_rug AS rugged,
    source
FROM played
WINDOW
    best_first AS (
        PARTITION BY game_id, tick
        ORDER BY source_rank, rugged DESC, ts, session_id, seq, has_own_time DESC
        ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    )
QUALIFY row_number() OVER best_first = 1
