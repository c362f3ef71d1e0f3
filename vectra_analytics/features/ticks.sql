-- /// feature-view
-- title = "Ticks"
-- kind = "base"
-- grain = ["game_id", "tick"]
-- reads = ["tick_sightings"]
-- source = "The canonical series: the played ticks from 0 to the rug, each once, whatever recorded it."
-- [columns]
-- game_id = { unit = "id", doc = "The game." }
-- tick = { unit = "ticks", doc = "Position in the game, from 0; ordered by it, never by the order of recording." }
-- ts = { unit = "UTC, us", doc = "When it happened, by the best source with a time of its own for the tick.", null = "no source has a time of its own for the tick" }
-- price = { unit = "price", doc = "Multiplier, 1.0 at the first tick." }
-- rugged = { unit = "flag", doc = "Whether this is the tick of the rug; no tick comes after it." }
-- source = { unit = "doc_type", doc = "The kind of event that gave the price." }
-- ///
WITH ordered AS (
    SELECT
        game_id,
        tick,
        price,
        source,
        min(CASE WHEN rugged THEN tick END) OVER (PARTITION BY game_id) AS rug_tick,
        lag(tick) OVER best_first AS tick_before,
        -- The next sighting with a time of its own, and which tick it is of: no other one between has a time.
        first_value(CASE WHEN has_own_time THEN ts END IGNORE NULLS) OVER from_here AS next_ts,
        first_value(CASE WHEN has_own_time THEN tick END IGNORE NULLS) OVER from_here AS next_ts_tick
    FROM tick_sightings
    WINDOW
        best_first AS (
            PARTITION BY game_id
            ORDER BY tick, source_rank, rugged DESC, ts, session_id, seq, has_own_time DESC
        ),
        from_here AS (
            PARTITION BY game_id
            ORDER BY tick, source_rank, rugged DESC, ts, session_id, seq, has_own_time DESC
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        )
)

SELECT
    game_id,
    tick,
    CASE WHEN next_ts_tick = tick THEN next_ts END AS ts,
    price,
    tick IS NOT DISTINCT FROM rug_tick AS rugged,
    source
FROM ordered
WHERE
    tick_before IS DISTINCT FROM tick  -- the best sighting of its tick
    -- What comes after the first rugged tick are ghosts: the feed repeats the rug under a later tick.
    AND (rug_tick IS NULL OR tick <= rug_tick)
