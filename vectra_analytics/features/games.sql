-- /// feature-view
-- title = "Games"
-- kind = "summary"
-- grain = ["game_id"]
-- order = ["started_at", "game_id"]
-- reads = ["ticks", "tick_sightings", "events"]
-- source = "One row a game with at least one tick."
-- [columns]
-- game_id = { unit = "id", doc = "The game." }
-- started_at = { unit = "UTC, us", doc = "ts of its first tick.", window = "the game", null = "that tick has no time of its own" }
-- ended_at = { unit = "UTC, us", doc = "ts of its last tick.", window = "the game", null = "that tick has no time of its own" }
-- n_ticks = { unit = "count", doc = "Rows in `ticks`.", window = "the game" }
-- rug_tick = { unit = "ticks", doc = "The tick of the rug.", window = "the game", null = "no rug was seen" }
-- peak_price = { unit = "price", doc = "Highest price.", window = "the game" }
-- peak_tick = { unit = "ticks", doc = "First tick at the peak.", window = "the game" }
-- last_price = { unit = "price", doc = "Price of the tick before the rug.", window = "the game", null = "that tick, or the rug, was not seen" }
-- rug_price = { unit = "price", doc = "Price at the rug.", window = "the game", null = "no rug was seen" }
-- missing_ticks = { unit = "count", doc = "Holes between the first and the last tick.", window = "the game" }
-- joined_late = { unit = "flag", doc = "Whether the first tick seen is after 0.", window = "the game" }
-- is_complete = { unit = "flag", doc = "Whether tick 0 and the rug were seen and nothing between is missing.", window = "the game" }
-- n_sessions = { unit = "count", doc = "Recording sessions that saw a tick of it.", window = "the game" }
-- sources = { unit = "doc_types", doc = "Kinds of event that named its ticks: sorted, with commas between.", window = "the game" }
-- n_actions = { unit = "count", doc = "Its player_action events.", window = "the game" }
-- n_players = { unit = "count", doc = "Different player ids in its events.", window = "the game" }
-- n_conflicts = { unit = "count", doc = "Ticks on whose price the sightings disagree.", window = "the game" }
-- ///
WITH per_game AS (
    SELECT
        game_id,
        min(tick) AS first_tick,
        max(tick) AS last_tick,
        count(*) AS n_ticks,
        min(tick) FILTER (WHERE rugged) AS rug_tick,
        max(price) AS peak_price
    FROM ticks
    GROUP BY game_id
),

at_ticks AS (
    SELECT
        game_id,
        any_value(t.ts) FILTER (WHERE t.tick = g.first_tick) AS started_at,
        any_value(t.ts) FILTER (WHERE t.tick = g.last_tick) AS ended_at,
        min(t.tick) FILTER (WHERE t.price = g.peak_price) AS peak_tick,
        any_value(t.price) FILTER (WHERE t.tick = g.rug_tick - 1) AS last_price,
        any_value(t.price) FILTER (WHERE t.tick = g.rug_tick) AS rug_price
    FROM ticks AS t
    INNER JOIN per_game AS g USING (game_id)
    GROUP BY game_id
),

played AS (
    SELECT s.*
    FROM tick_sightings AS s
    INNER JOIN per_game AS g USING (game_id)
    WHERE s.tick <= g.last_tick  -- the others saw ghosts
),

sighted AS (
    SELECT
        game_id,
        count(DISTINCT session_id) AS n_sessions,
        string_agg(DISTINCT source, ',' ORDER BY source) AS sources
    FROM played
    GROUP BY game_id
),

disputed AS (
    SELECT game_id, tick
    FROM played
    GROUP BY game_id, tick
    HAVING min(price) <> max(price)
),

conflicts AS (
    SELECT game_id, count(*) AS n_conflicts
    FROM disputed
    GROUP BY game_id
),

people AS (
    SELECT
        game_id,
        count(*) FILTER (WHERE doc_type = 'player_action') AS n_actions,
        count(DISTINCT player_id) AS n_players
    FROM events
    WHERE game_id IS NOT NULL
    GROUP BY game_id
)

SELECT
    game_id,
    a.started_at,
    a.ended_at,
    g.n_ticks,
    g.rug_tick,
    g.peak_price,
    a.peak_tick,
    a.last_price,
    a.rug_price,
    (g.last_tick - g.first_tick) - (g.n_ticks - 1) AS missing_ticks,
    g.first_tick > 0 AS joined_late,
    g.first_tick = 0 AND g.rug_tick IS NOT NULL AND g.n_ticks - 1 = g.last_tick AS is_complete,
    s.n_sessions,
    s.sources,
    coalesce(p.n_actions, 0) AS n_actions,
    coalesce(p.n_players, 0) AS n_players,
    coalesce(c.n_conflicts, 0) AS n_conflicts
FROM per_game AS g
INNER JOIN at_ticks AS a USING (game_id)
INNER JOIN sighted AS s USING (game_id)
LEFT JOIN people AS p USING (game_id)
LEFT JOIN conflicts AS c USING (game_id)
